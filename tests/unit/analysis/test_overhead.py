"""From pairs of runs to costs and goals: differences within a round, ratios, and what the idle share explains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.analysis.overhead import (
    HARNESS_MEMORY,
    IDLE,
    PER_EVENT,
    PER_STEP,
    SUBJECT_CPU,
    THROUGHPUT,
    Compared,
    Helping,
    Reading,
    costs,
    goals,
)
from harness.experiment.overhead_arms import ARMS, NAMES, PASSIVE, chosen, scenario
from harness.scenario.load import load

_OFF = Reading(
    idle_cores=0.01, small=Helping(5.0, 0.1, None), large=Helping(10.0, 0.4, None), work_s=9.0,
    subject_cpu_s=4.0, subject_idle_cores=0.0, subject_rss_bytes=80e6,
    harness_peak_bytes=150e6, objects=100, others=0.0,
)  # fmt: skip
_ON = replace(
    _OFF, idle_cores=0.03, small=Helping(5.0, 0.29, 200.0), large=Helping(10.0, 0.77, 1000.0), harness_peak_bytes=170e6
)
_ARMS = (Compared("nothing", "", (), None), Compared("passive", "", ("latency",), "nothing"))


def _cost(*rounds: tuple[Reading, Reading]) -> Any:
    (found,) = costs(_ARMS, [{"nothing": off, "passive": on} for off, on in rounds])
    return found


def test_differences_are_within_a_round_and_noise_is_their_range() -> None:
    slow = replace(_OFF, idle_cores=0.11, harness_peak_bytes=250e6)
    cost = _cost((_OFF, _ON), (slow, replace(_ON, idle_cores=0.14, harness_peak_bytes=290e6)), (_OFF, _ON))
    assert cost.pairs == 3
    assert cost.figures[IDLE].median == pytest.approx(0.02)
    assert (cost.figures[HARNESS_MEMORY].low, cost.figures[HARNESS_MEMORY].high) == (20e6, 40e6)


def test_cpu_per_event_is_what_neither_the_idle_share_nor_the_step_explains() -> None:
    # Small: 0.19 s more, of which 5 s at 0.02 of a core more would have taken 0.1 s anyway. Large: 0.37 s, of which 0.2 s.
    # So 800 events more took 0.08 s more, and of the 0.09 s of the small helping its 200 events took 0.02 s.
    figures = _cost((_OFF, _ON)).figures
    assert figures[PER_EVENT].median == pytest.approx(100e-6)
    assert figures[PER_STEP].median == pytest.approx(0.07)


def test_where_nobody_watched_nothing_is_said_of_events() -> None:
    assert PER_EVENT not in _cost((_OFF, replace(_OFF, idle_cores=0.02))).figures


def test_ratios_are_of_with_to_without() -> None:
    cost = _cost((_OFF, replace(_ON, subject_cpu_s=8.0, work_s=18.0)))
    assert cost.figures[SUBJECT_CPU].median == 2.0
    assert cost.figures[THROUGHPUT].median == 0.5


def test_a_run_that_does_not_count_takes_its_pair_with_it() -> None:
    assert costs(_ARMS, [{"passive": _ON}, {"nothing": _OFF}]) == []
    assert costs(_ARMS, [{"passive": _ON}, {"nothing": _OFF, "passive": _ON}])[0].pairs == 1


def test_goals_stand_beside_what_was_measured() -> None:
    over = replace(_ON, idle_cores=0.05)
    found = {goal.words: goal for goal in goals([_cost((_OFF, _ON), (_OFF, over), (_OFF, over))])}
    idle = found["passive collectors together, of a core when idle"]
    assert idle.measured is not None
    assert (idle.met, idle.clear, idle.measured.median) == (False, False, pytest.approx(0.04))
    memory = found["passive collectors together, memory"]
    assert (memory.met, memory.clear) == (True, True)
    assert found["Pyroscope (CPU), the subject's CPU"].met is None


def test_what_is_asked_for_comes_with_what_it_is_compared_with() -> None:
    assert [arm.name for arm in chosen(["memory"])] == ["nothing", "memory"]
    assert [arm.name for arm in chosen(["pyroscope"])] == ["passive", "pyroscope"]
    assert len(chosen([])) == len(ARMS)
    assert set(PASSIVE) <= set(NAMES)


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_the_work_of_each_arm_is_a_valid_scenario(tmp_path: Any, arm: Any) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(scenario(arm, 5, 2))
    assert load(path).name == "overhead"
