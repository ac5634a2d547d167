"""Rules of a scenario's subject that concern other parts of the scenario, or the placeholders that only a run fills in."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from harness.scenario import controllers, names
from harness.scenario.document import Path
from harness.scenario.model import Scenario
from harness.scenario.placeholders import OF_THE_RUN, names_in
from harness.scenario.problems import Problem
from harness.scenario.steps import Failover, Restart

WEBHOOK_FILES = ("dir", "cert", "key", "ca", "tmp")
"""What `{webhook:NAME}` may be about."""

_PATTERN: Path = ("subject", "ready", "log")


def placeholders(scenario: Scenario) -> Iterator[Problem]:
    """Placeholders of the subject that the run could not fill in. Braces that are nobody's are left as they are."""
    subject = scenario.subject
    for path, text in _texts(subject.model_dump(mode="json", exclude_defaults=True), ("subject",)):
        for name in names_in(text) if path != _PATTERN else ():
            word, _, argument = name.partition(":")
            if not argument:
                continue
            if word == "webhook" and subject.webhooks is None:
                cause = f"placeholder {{{name}}} is of a subject with admission webhooks"
                yield Problem(path, cause, "set subject.webhooks")
            elif word == "webhook" and argument not in WEBHOOK_FILES:
                known = ", ".join(f"{{webhook:{each}}}" for each in WEBHOOK_FILES)
                yield Problem(path, f"unknown placeholder {{{name}}}", f"there are {known}")
            elif near := _mistyped(word):
                meant = f"{near}:{argument}" if near in ("port", "webhook") else near
                yield Problem(path, f"unknown placeholder {{{name}}}", f"did you mean {{{meant}}}?")


def agents(scenario: Scenario) -> Iterator[Problem]:
    """Fake agents take the place of what else would answer, and need Clusters to answer for."""
    if scenario.agents is None:
        return
    name, option = scenario.subject.controller, scenario.subject.options.get("agent", "report")
    if not controllers.makes_bundles(name):
        yield Problem(
            ("agents",), f"agents answer for Fleet's Clusters, and {name} makes no BundleDeployments", at_key=True
        )
    elif name is not None and controllers.reports_deployments(name) and option != "none":
        cause = (
            f"{name} reports BundleDeployments itself (agent: {option}), and the agents would write the same statuses"
        )
        yield Problem(("agents",), cause, "add options: {agent: none} to the subject", at_key=True)
    elif names.cluster_step(scenario) is None:
        yield Problem(("agents",), "there are no Clusters to answer for", "create some in the load", at_key=True)


def replicas(scenario: Scenario) -> Iterator[Problem]:
    """A failover needs somebody who takes over; a restart is of all, which replicas are there to avoid."""
    several = scenario.subject.replicas > 1
    controller = scenario.subject.controller
    if several and controller is not None and not controllers.elects_leader(controller):
        cause = f"{controller} elects no leader, so its replicas would all do the same work"
        yield Problem(("subject", "replicas"), cause, "use one replica")
    for phase in names.phases(scenario):
        if isinstance(phase.step, Failover) and not several:
            yield Problem(phase.path, "a failover needs another replica to take over", "set subject.replicas to 2")
        elif isinstance(phase.step, Restart) and several:
            yield Problem(phase.path, "replicas are not restarted together", "use failover, or one replica")
    if several and scenario.memray != "off":
        yield Problem(("memray",), "memray captures one process, and there are two replicas", "use one replica")


def process(scenario: Scenario) -> Iterator[Problem]:
    """A process that runs already was given its addresses by somebody else."""
    subject = scenario.subject
    if subject.pid is None:
        return
    for key, url in (("metrics", subject.metrics), ("pprof", subject.pprof)):
        if url is not None and "{" in url:
            cause = f"subject.{key} of a process that runs already cannot have a port of the run's"
            yield Problem(("subject", key), cause, "write the address that it has")


def _mistyped(word: str) -> str | None:
    known = ("port", "webhook", *OF_THE_RUN)
    if word in known:
        return None
    return next(iter(difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)), None)


def _texts(value: object, path: Path) -> Iterator[tuple[Path, str]]:
    """Every text in the subject, with its place."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))
