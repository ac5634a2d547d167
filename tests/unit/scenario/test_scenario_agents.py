"""`agents:` and `etcd_quota` of a scenario: what is taken, what it becomes, and mistakes as one line with their place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.scenario.agents import Agents, LongTail
from harness.scenario.model import Scenario
from tests.unit.scenario.scenario_files import error_of, scenario

TEXT = """\
name: x
summary: A fleet.
subject: {controller: fleet, options: {agent: none}}
agents: {delay: [100ms, 2s], heartbeat: 1m, offline: 1%}
load:
  - create: {kind: Cluster.management.cattle.io, count: 10}
"""


def test_what_is_asked_of_the_process() -> None:
    assert Agents.model_validate({}).planned() == {
        "delay": {"min_s": 0.2, "max_s": 0.2}, "heartbeat_s": 900.0, "not_ready": 0.0, "offline": 0.0, "conflicts": 0.0,
        "concurrency": 64,
    }  # fmt: skip
    tail = Agents.model_validate(
        {"delay": {"lognormal": {"median": "500ms", "sigma": 0.8}, "max": "30s"}, "heartbeat": "off", "not_ready": "5%"}
    )
    assert tail.delay == LongTail(0.5, 0.8, 30.0)
    assert tail.planned()["delay"] == {"lognormal": {"median_s": 0.5, "sigma": 0.8}, "max_s": 30.0}
    assert tail.planned()["heartbeat_s"] is None
    assert tail.planned()["not_ready"] == 0.05


@pytest.mark.parametrize(
    "agents",
    [{}, {"delay": "0s", "heartbeat": "off"}, {"delay": {"lognormal": {"median": "1s", "sigma": 2}, "max": "1m"}}],
)
def test_a_record_reads_back_to_the_same(agents: dict[str, Any]) -> None:
    made = scenario(
        subject={"controller": "fleet", "options": {"agent": "none"}}, agents=agents, etcd_quota="4Gi",
        load=[{"create": {"kind": "Cluster.management.cattle.io", "count": 1}}],
    )  # fmt: skip
    assert Scenario.model_validate(made.model_dump(mode="json")) == made
    assert made.etcd_quota == 4 * 2**30


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("[100ms, 2s]", "[2s, 100ms]", "x.yaml:4:17: the range ends ('100ms') below its start ('2s')"),
        ("[100ms, 2s]", "fast", "x.yaml:4:17: 'fast' is not a quantity"),
        ("[100ms, 2s]", "-1s", "x.yaml:4:17: '-1s' is not between 0 s and 24 h"),
        ("[100ms, 2s]", "{lognormal: {median: 1s}, max: 2s}", "a delay with a long tail is written as {lognormal:"),
        ("[100ms, 2s]", "{pareto: {}, max: 2s}", "unknown key 'pareto'"),
        ("offline: 1%", "offline: 101%", "x.yaml:4:54: '101%' is not between 0 % and 100 %"),
        ("offline: 1%", "ofline: 1%", "x.yaml:4:45: unknown key 'ofline'; did you mean 'offline'?"),
        ("heartbeat: 1m", "heartbeat: 100ms", "'100ms' is less than 1 s between two heartbeats"),
        (
            ", options: {agent: none}",
            "",
            "fleet reports BundleDeployments itself (agent: report), and the agents would write",
        ),
        ("controller: fleet, options: {agent: none}", "controller: watcher", "watcher makes no BundleDeployments"),
        ("kind: Cluster.management.cattle.io", "kind: Secret", "there are no Clusters to answer for"),
        ("agents:", "etcd_quota: 1KB\nagents:", "x.yaml:4:13: '1KB' is not between 1 MiB and 1 PiB"),
    ],
)
def test_mistakes_are_one_line_with_their_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert error_of(tmp_path, TEXT) == ""
    assert old in TEXT
    said = error_of(tmp_path, TEXT.replace(old, new))
    assert says in said
    assert "\n" not in said
