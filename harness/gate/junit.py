"""Checks as JUnit XML, in the form that Jenkins, GitLab, GitHub actions and Azure read: testsuites, testsuite, testcase."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterable

from harness.record.checks import Check, Checks, CheckSuite

_ELEMENT = {"failed": "failure", "unclear": "error", "acknowledged": "skipped", "not judged": "skipped"}
"""What is not known to be good is an error, never absent; what is known to be bad and acknowledged is skipped."""


def render(checks: Checks) -> str:
    """The document as text. No text of a run can end an element, and none has characters that XML forbids."""
    root = ET.Element("testsuites", {"name": "controller-harness"})
    suites = [_suite(suite) for suite in checks.suites]
    if checks.alert is not None:
        suites.append(_alert(checks.alert))
    _count(root, suites)
    root.extend(suites)
    ET.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(suite: CheckSuite) -> ET.Element:
    element = ET.Element(
        "testsuite",
        {"name": _legal(suite.title), "timestamp": f"{suite.started_at:%Y-%m-%dT%H:%M:%S}", "id": _legal(suite.id)},
    )
    properties = ET.SubElement(element, "properties")
    for name, value in {"id": suite.id, "verdict": suite.verdict, **suite.facts}.items():
        ET.SubElement(properties, "property", {"name": _legal(name), "value": _legal(value)})
    cases = [_case(suite, check, index == len(suite.checks) - 1) for index, check in enumerate(suite.checks)]
    element.extend(cases)
    if suite.warnings or suite.blame:
        ET.SubElement(element, "system-out").text = _legal("\n".join([*suite.blame, *suite.warnings]))
    counted = [case.find(tag) is not None for tag in ("failure", "error", "skipped") for case in cases]
    number = len(cases)
    for index, name in enumerate(("failures", "errors", "skipped")):
        element.set(name, str(sum(counted[index * number : (index + 1) * number])))
    element.set("tests", str(number))
    element.set("time", f"{suite.seconds or 0.0:.3f}")
    return element


def _case(suite: CheckSuite, check: Check, whole: bool) -> ET.Element:
    """The time of a run is that of its last case, the verdict; the others take none of their own."""
    seconds = suite.seconds or 0.0 if whole else 0.0
    case = ET.Element(
        "testcase",
        {"name": _legal(check.name), "classname": _legal(f"{suite.kind}.{suite.title}"), "time": f"{seconds:.3f}"},
    )
    tag = _ELEMENT.get(check.state)
    text = "\n".join([check.message, *check.details])
    if tag is not None:
        outcome = ET.SubElement(case, tag, {"message": _legal(check.message)})
        if tag != "skipped":
            outcome.set("type", check.state)
            outcome.text = _legal(text)
    elif text:
        ET.SubElement(case, "system-out").text = _legal(text)
    return case


def _alert(alert: str) -> ET.Element:
    counts = {"tests": "1", "failures": "1", "errors": "0", "skipped": "0", "time": "0.000"}
    element = ET.Element("testsuite", {"name": "nights", **counts})
    case = ET.SubElement(element, "testcase", {"name": "conclusive", "classname": "nights", "time": "0.000"})
    ET.SubElement(case, "failure", {"message": _legal(alert), "type": "alert"})
    return element


def _count(root: ET.Element, suites: Iterable[ET.Element]) -> None:
    found = list(suites)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in found)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in found):.3f}")


def _legal(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold even escaped; they are shown as Python writes them."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else ascii(c)[1:-1]
        for c in text
    )
