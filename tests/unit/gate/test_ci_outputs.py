"""What CI systems are told: never green where it is not known to be good, whatever the names are."""

from __future__ import annotations

import datetime
import json
import re
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.gate import acks, checks, github, junit, markdown
from harness.gate.acks import NONE, Acks
from harness.record import schemas
from harness.record.checks import Checks
from harness.record.gate import Blamed
from harness.record.models import ExpectationResult, Verdict
from tests import records
from tests.ci_gates import HEAP, HOSTILE, LATENCY, gate, primary


def _known(*pairs: tuple[str, str]) -> Acks:
    text = "acks:\n" + "".join(
        f"  - {{metric: {metric}, scenario: {scenario}, until: 2026-12-01, reason: 'known, #7'}}\n"
        for metric, scenario in pairs
    )
    return _load(text)


def _load(text: str) -> Acks:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "acks.yaml"
        path.write_text(text)
        return acks.load(path, datetime.date(2026, 11, 22))


def _gate(verdict: str = "regress", known: Acks = NONE, **facts: object) -> Checks:
    return checks.together([checks.of_gate(gate(verdict, **facts), known)], known)  # type: ignore[arg-type]


def _run(tmp_path: Path, known: Acks = NONE, **changes: object) -> Checks:
    record, verdict = records.passing(tmp_path / "run")
    changed = Verdict.model_validate(verdict.model_dump(by_alias=True) | changes)
    return checks.together([checks.of_run(record.run, changed, known)], known)


def _failed(*lines: tuple[str, bool | None], reasons: list[str] | None = None) -> dict[str, Any]:
    said = reasons if reasons is not None else [f"expected {expr}, measured 9" for expr, ok in lines if ok is False]
    expectations = [ExpectationResult(expr=expr, value=9.0, ok=ok).model_dump() for expr, ok in lines]
    return {"verdict": "failed", "exit_code": 1, "expectations": expectations, "reasons": said}


def _junit(found: Checks) -> ET.Element:
    return ET.fromstring(junit.render(found).encode())


def _validate_junit(root: ET.Element) -> None:
    """The structure of the JUnit XSD that Jenkins and others validate against: elements, their order and attributes."""
    allowed = {
        "testsuites": ({"name", "time", "tests", "failures", "errors", "skipped"}, ("testsuite",)),
        "testsuite": (
            {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "id"},
            ("properties", "testcase", "system-out", "system-err"),
        ),
        "properties": (set(), ("property",)),
        "property": ({"name", "value"}, ()),
        "testcase": ({"name", "classname", "time"}, ("skipped", "error", "failure", "system-out", "system-err")),
        "failure": ({"message", "type"}, ()),
        "error": ({"message", "type"}, ()),
        "skipped": ({"message"}, ()),
        "system-out": (set(), ()),
    }
    assert root.tag == "testsuites"
    for element in root.iter():
        attributes, children = allowed[element.tag]
        assert set(element.attrib) <= attributes, element.tag
        order = [children.index(child.tag) for child in element]
        assert order == sorted(order), element.tag
        for name in attributes & {"tests", "failures", "errors", "skipped"}:
            assert element.attrib[name].isdigit(), (element.tag, name)
        if "time" in attributes:
            assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
        if element.tag == "testcase":
            assert len([child for child in element if child.tag in ("failure", "error", "skipped")]) <= 1
            assert element.attrib["name"]
            assert element.attrib["classname"]
    for suite in root.iter("testsuite"):
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"), ("tests", "testcase")):
            assert int(suite.attrib[name]) == len(list(suite.iter(tag))), name
    for name in ("tests", "failures", "errors", "skipped"):
        assert int(root.attrib[name]) == sum(int(suite.attrib[name]) for suite in root), name


@pytest.mark.parametrize(
    ("verdict", "counts", "code"),
    [("pass", (0, 0), 0), ("improve", (0, 0), 0), ("regress", (2, 0), 1), ("inconclusive", (0, 2), 3)],
)
def test_verdicts_of_gates_in_junit(verdict: str, counts: tuple[int, int], code: int) -> None:
    found = _gate(verdict)
    root = _junit(found)
    _validate_junit(root)
    assert (int(root.attrib["failures"]), int(root.attrib["errors"])) == counts
    assert found.exit_code == code


def test_an_advisory_verdict_and_a_broken_run_are_never_green(tmp_path: Path) -> None:
    root = _junit(_gate("pass", advisory=True, exit_code=3))
    assert root.attrib["errors"] == "1"
    for verdict in ("invalid", "error", "interrupted", "inconclusive"):
        found = _run(tmp_path / verdict, verdict=verdict, exit_code=3, reasons=["it broke"])
        _validate_junit(_junit(found))
        assert _junit(found).attrib["errors"] == "1"
        assert "::warning" in github.lines(found)[0]
        assert "**unclear**" in markdown.render(found)


def test_a_failed_expectation_is_a_failure_and_one_not_judged_is_skipped(tmp_path: Path) -> None:
    found = _run(
        tmp_path, **_failed(("tasks.peak < 5", False), ("oom.kills == 0", True), ("latency.flip.p99 < 1s", None))
    )
    root = _junit(found)
    _validate_junit(root)
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["skipped"]) == ("4", "2", "1")
    assert root[0].attrib["time"] == "40.000"
    jsonschema.validate(
        found.model_dump(mode="json", by_alias=True), json.loads((schemas.DIRECTORY / "checks.v1.json").read_text())
    )


def test_hostile_names_stay_text() -> None:
    found = _gate(
        lines=[primary(HEAP, "regress").model_copy(update={"sentence": HOSTILE, "threshold_text": HOSTILE})],
        reasons=[HOSTILE], warnings=[HOSTILE], scenario="smoke",
    )  # fmt: skip
    _validate_junit(_junit(found))
    case = next(_junit(found).iter("failure"))
    assert "<b>&'\"]]>" in case.attrib["message"]
    assert "a\\x00b" in case.attrib["message"]
    for line in github.lines(found):
        assert line.isprintable()
        command = re.fullmatch(r"::(error|warning) title=([^:,]*)::(.*)", line)
        assert command is not None, "the runner takes what is behind the second :: as text"
    text = markdown.render(found)
    assert "<b>" not in text
    assert "`" not in text
    rows = [line for line in text.splitlines() if line.startswith("| verdict")]
    assert [line.count("|") for line in rows] == [4]


def test_annotations_escape_as_the_runner_expects() -> None:
    assert github.command("error", "a:b,c%", "50% of\r\nx: y, z") == (
        "::error title=a%3Ab%2Cc%25::50%25 of%0D%0Ax: y, z"
    )


def test_an_acknowledged_regression_is_a_warning() -> None:
    found = _gate(known=_known((HEAP, "smoke")))
    assert found.exit_code == 0
    root = _junit(found)
    _validate_junit(root)
    assert (root.attrib["failures"], root.attrib["errors"], root.attrib["skipped"]) == ("0", "0", "2")
    assert all(line.startswith("::warning") for line in github.lines(found))
    assert "acknowledged until 2026-12-01: known, #7" in junit.render(found)


def test_an_acknowledgement_covers_its_metric_in_its_scenario_and_nothing_else(tmp_path: Path) -> None:
    both = [primary(HEAP, "regress"), primary(LATENCY, "regress")]
    assert _gate(known=_known((HEAP, "smoke")), lines=both).exit_code == 1
    assert _gate(known=_known((HEAP, "smoke"), (LATENCY, "smoke")), lines=both).exit_code == 0
    assert _gate(known=_known((HEAP, "label-flip"))).exit_code == 1
    assert _gate("inconclusive", known=_known((HEAP, "smoke"))).exit_code == 3
    dies = {"baseline": 0, "candidate": 9, "both": 0, "p": 0.002}
    assert _gate(known=_known((HEAP, "smoke")), findings=dies).exit_code == 1, "it also dies more often"
    other = [primary(HEAP, "regress"), primary(LATENCY, "inconclusive")]
    assert _gate(known=_known((HEAP, "smoke")), lines=other).exit_code == 1
    known = _known(("tasks.peak", "smoke"))
    assert _run(tmp_path / "a", known, **_failed(("tasks.peak < 5", False))).exit_code == 0
    assert _run(tmp_path / "b", known, **_failed(("tasks.peak < 5", False), ("fds.peak < 5", False))).exit_code == 1
    crashed = _failed(("tasks.peak < 5", False), reasons=["crashed with exit code 139"])
    assert _run(tmp_path / "c", known, **crashed).exit_code == 1
    assert _run(tmp_path / "d", known, verdict="invalid", exit_code=3).exit_code == 3
    killed = _failed(
        ("oom.kills == 0", False), reasons=["OOM-killed at its limit", "expected oom.kills == 0, measured 1"]
    )
    assert _run(tmp_path / "e", known, **killed).exit_code == 1
    assert _run(tmp_path / "f", _known(("oom.kills", "smoke")), **killed).exit_code == 0


def test_an_expired_acknowledgement_excuses_nothing_and_is_told() -> None:
    known = _load(f"acks:\n  - {{metric: {HEAP}, scenario: smoke, until: 2026-11-21, reason: was known}}\n")
    found = _gate(known=known)
    assert found.exit_code == 1
    (warning,) = found.warnings
    assert "expired on 2026-11-21: was known" in warning
    last = _load(f"acks:\n  - {{metric: {HEAP}, scenario: smoke, until: 2026-11-22, reason: known}}\n")
    assert _gate(known=last).exit_code == 0, "the day itself still counts"


def test_a_scenario_that_looks_mistyped_is_told() -> None:
    (warning,) = _gate(known=_known((HEAP, "smok"))).warnings
    assert "no scenario 'smok' was judged; did you mean 'smoke'?" in warning
    assert _gate(known=_known((HEAP, "label-flip"))).warnings == []


def _line(metric: str = HEAP, scenario: str = "smoke", until: str = "2026-12-01", rest: str = "reason: known") -> str:
    return f"  - {{metric: {metric}, scenario: {scenario}, until: {until}, {rest}}}\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (_line("memory.heap.setled"), r":2:14: unknown metric 'memory.heap.setled'; did you mean memory.heap.settled"),
        (_line("'memory.*'"), r":2:14: 'memory.\*' is a wildcard"),
        (_line(scenario="'*'"), r":2:45: '\*' is a wildcard"),
        (_line(scenario="Smoke!"), r":2:45: 'Smoke!' is not a scenario's name"),
        (_line(until="soon"), r":2:59: expected a day such as 2026-12-31, got 'soon'"),
        (_line(until="2099-01-01"), r":2:59: 2099-01-01 is more than 366 days ahead"),
        (2 * _line(), r":3:5: .* acknowledged twice"),
        (_line(rest="reason: ''"), r":2:79: expected some text"),
        (f"  - {{metric: {HEAP}, scenario: smoke, until: 2026-12-01}}\n", r":2:5: key 'reason' is missing; docs/ci.md"),
        (_line(rest="reasn: x"), r":2:71: unknown key 'reasn'; did you mean 'reason'"),
    ],
)
def test_a_mistake_in_an_acknowledgement_is_one_line_with_its_place(text: str, says: str) -> None:
    with pytest.raises(acks.UsageError, match=says):
        _load(f"acks:\n{text}")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ack: []\n", r":1:1: unknown key 'ack'; did you mean 'acks'"),
        ("- metric: x\n", r":1:1: expected the one key acks; docs/ci.md"),
        ("acks: [\n", r":\d:\d: not valid YAML"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_with_its_place(text: str, says: str) -> None:
    with pytest.raises(acks.UsageError, match=says):
        _load(text)


def test_a_long_result_stays_within_what_a_comment_holds() -> None:
    many = [primary(HEAP, "pass").model_copy(update={"metric": f"metric.{n}"}) for n in range(500)]
    text = markdown.render(_gate("pass", lines=[primary(HEAP, "pass")], secondary=many))
    assert "441 more are in the record" in text
    assert len(text) < 64 * 1024


def test_an_allocation_site_comes_with_the_lines_that_called_it() -> None:
    site = Blamed(
        rank=1, kind="allocation", name="iterencode (json/encoder.py:258)", unit="B", baseline=0, candidate=9, growth=9,
        pairs_grown=2, pairs=2, sentence="iterencode grew",
        callers=["dumps (json/__init__.py:231)", "put (/tmp/hng-568wt00s/tree/app/store.py:70)", "a", "b", "c"],
    )  # fmt: skip
    (line,) = checks.of_gate(gate("regress", blame=[site]), NONE).blame
    assert line == "1. iterencode grew; called from dumps (json/__init__.py:231) ← put (app/store.py:70) ← a ← b"
