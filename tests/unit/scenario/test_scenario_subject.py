"""What a scenario says of its subject, read and written back."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.experiment import subjects
from harness.scenario.model import Scenario
from harness.scenario.names import phases
from harness.subject.readiness import Ready
from tests.unit.scenario.scenario_files import error_of, scenario

COMMAND = {"command": ["./manager"], "memory_limit": "400Mi"}


def command(**parts: object) -> Scenario:
    return scenario(subject={**COMMAND, **parts})


@pytest.mark.parametrize(
    ("go", "env"),
    [
        ({"memlimit": "auto", "gogc": "off"}, {"GOMEMLIMIT": "377487360", "GOGC": "off"}),
        ({"memlimit": "300Mi", "gogc": 50, "maxprocs": 2}, {"GOMEMLIMIT": "314572800", "GOGC": "50", "GOMAXPROCS": "2"}),
        ({}, {}),
    ],
)  # fmt: skip
def test_the_environment_of_go(go: dict[str, object], env: dict[str, str]) -> None:
    read = command(go=go, env={"A": "b"})
    assert subjects.build(read.subject, None).env == {"A": "b", **env}
    assert Scenario.model_validate(read.model_dump(mode="json")) == read


@pytest.mark.parametrize(
    ("ready", "means"),
    [
        ({"http": "http://x"}, Ready(http="http://x")),
        ({"log": "^up"}, Ready(log="^up")),
        ({"lease": {"name": "leader"}}, Ready(lease=("{namespace}", "leader"))),
        ({"lease": {"namespace": "kube-system", "name": "leader"}}, Ready(lease=("kube-system", "leader"))),
        ({"metric": "workqueue_depth"}, Ready(metric="workqueue_depth", minimum=0)),
        ({"metric": "workqueue_depth", "min": 3}, Ready(metric="workqueue_depth", minimum=3)),
        (None, None),
    ],
)
def test_signs_of_readiness(ready: dict[str, object] | None, means: Ready | None) -> None:
    read = command(ready=ready, metrics="http://x/metrics")
    assert subjects.build(read.subject, None).ready == means
    assert Scenario.model_validate(read.model_dump(mode="json")) == read


def test_auto_needs_a_limit(tmp_path: Path) -> None:
    text = "name: a\nsummary: b\nsubject: {command: [a], go: {memlimit: auto}}\n"
    said = "x.yaml:3:29: go.memlimit: auto is a share of memory_limit, and there is none; set it"
    assert error_of(tmp_path, text) == said


def test_steps_by_their_names() -> None:
    read = scenario(
        load=[
            {"create": {"kind": "Secret", "count": 1}},
            {"restart": None},
            {"hook": {"command": ["true"]}},
            {"restart": {"signal": "KILL", "wait": "ready"}},
            {"hook": {"command": ["true"], "timeout": "5s"}},
        ]
    )
    assert [phase.name for phase in phases(read)] == [
        "create-Secret",
        "restart",
        "hook",
        "restart-2",
        "hook-2",
        "settle-1",
    ]
    dumped = read.model_dump(mode="json")
    assert dumped["load"][1:] == [
        {"restart": {"of": "subject", "signal": "TERM", "wait": "ready"}},
        {"hook": {"command": ["true"], "timeout": "30s"}},
        {"restart": {"of": "subject", "signal": "KILL", "wait": "ready"}},
        {"hook": {"command": ["true"], "timeout": "5s"}},
    ]
    assert Scenario.model_validate(dumped) == read
