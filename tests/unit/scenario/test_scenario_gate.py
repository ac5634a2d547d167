"""`gate:` of a scenario: what it means, and every mistake in it as one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.scenario.resolve import resolve
from tests.unit.scenario.scenario_files import changed, error_of

GATE = "\nexpect: ["


def with_gate(text: str) -> str:
    return changed(GATE, f"\ngate: {text}{GATE}")


def test_thresholds_are_shares_or_amounts(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(with_gate("{primary: {memory.heap.settled: 500KB, latency.flip.p99: 10%}, pairs: 20}"))
    gate = resolve(load(str(path))).gate
    assert gate is not None
    assert gate.pairs == 20
    assert [(item.metric, item.threshold, item.scale, item.text) for item in gate.metrics] == [
        ("memory.heap.settled", 500_000.0, "absolute", "500KB"),
        ("latency.flip.p99", 0.1, "relative", "10%"),
    ]


def test_a_record_reads_back_to_the_same_gate() -> None:
    scenario = resolve(load("label-flip"))
    assert scenario.gate is not None
    assert Scenario.model_validate(scenario.model_dump(mode="json")).gate == scenario.gate


def test_an_arm_has_no_gate() -> None:
    """It may leave out what the gate measures, as the arm `oom` of smoke does with flips."""
    assert resolve(load("smoke"), arm="oom").gate is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{primary: {memory.heap.setled: 3%}}", "unknown metric 'memory.heap.setled'; did you mean memory.heap.settled"),
        ("{primary: {memory.heap.settled: 3}, pears: 2}", "unknown key 'pears'; did you mean 'pairs'?"),
        ("{primary: {latency.flip.p99: 3}}", "3 lacks a unit; write one of ns, us, µs, ms, s, m, min, h"),
        ("{primary: {latency.flip.p99: 0%}}", "'0%' is not between 0% and 90%"),
        ("{primary: {latency.flip.p99: [1]}}", "expected a threshold such as 3% or 50ms, got a list"),
        ("{primary: {load.requests: 3%}}", "load.requests cannot decide: neither more nor less of it is better"),
        ("{primary: {oom.kills: 1, fds.peak: 1, tasks.peak: 3%}}", "3 metrics; at most 2 may decide"),
        ("{primary: {}}", "expected metrics with their thresholds, as {memory.heap.settled: 3%}, got a mapping"),
        ("{primary: {oom.kills: 1}, pairs: 1}", "1 is below 2"),
        ("{pairs: 12}", "key 'primary' is missing; docs/scenarios.md describes it"),
        ("{primary: {latency.flop.p99: 3%}}", "no probe 'flop' for metric 'latency.flop.p99'; did you mean 'flip'?"),
        ("{primary: {host.steal: 3%, memory.rss.peak: 5m}}", "unit 'm' of '5m' is not one of B, K, KB"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    error = error_of(tmp_path, with_gate(text))
    assert error.startswith("x.yaml:17:")
    assert message in error
    assert "\n" not in error
