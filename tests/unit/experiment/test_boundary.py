"""The search for the boundary against a subject whose kill probability is known. Nothing is run: runs are drawn."""

from __future__ import annotations

import math
import random

import pytest

from harness.analysis import killrate
from harness.analysis.capacity import as_trials
from harness.analysis.killrate import KillRate
from harness.experiment.boundary import search
from harness.record.capacity import Trial, TrialOutcome


def _search(middle: float, guess: float, *, runs: int = 12, width: float = 0.02, seed: int = 1) -> list[Trial]:
    drawn, trials = random.Random(seed), list[Trial]()

    def measure(count: int) -> Trial:
        died = drawn.random() < 1 / (1 + math.exp(-max(-50, min(50, (count / middle - 1) / width))))
        outcome: TrialOutcome = "killed" if died else "survived"
        return Trial(run_id="r", count=count, outcome=outcome)

    search(measure, guess, runs=runs, noise=None, early=False, found=trials.append)
    return trials


@pytest.mark.parametrize("guess", [5000, 4000, 6500, 2500, 10_000])
def test_the_boundary_is_found_from_good_and_bad_guesses(guess: float) -> None:
    near = 0
    for seed in range(8):
        found = killrate.fit(as_trials(_search(5000, guess, seed=seed)))
        assert isinstance(found, KillRate)
        near += abs(found.middle.value / 5000 - 1) < 0.06
    assert near >= 7


def test_what_lives_however_much_it_gets_ends_with_its_runs() -> None:
    trials = _search(1e9, 1000, runs=6)
    assert [trial.outcome for trial in trials] == ["survived"] * 6
    assert trials[-1].count > 2 * trials[0].count


def test_nothing_is_tried_beyond_what_can_be_had() -> None:
    """Restarts: with more than it can grow into it is dead before it could be restarted."""
    found: list[Trial] = []
    search(
        lambda count: Trial(run_id="r", count=count, outcome="killed" if count > 1230 else "survived"), 1216, runs=10,
        noise=0.002, early=False, most=1281, found=found.append,
    )  # fmt: skip
    assert [trial.count for trial in found[:2]] == [1216, 1281]
    assert len(found) == 10
    assert max(trial.count for trial in found) == 1281


def test_what_lives_with_all_that_can_be_had_is_not_tried_again_and_again() -> None:
    found: list[Trial] = []
    search(
        lambda count: Trial(run_id="r", count=count, outcome="survived"), 1216, runs=10, noise=0.002, early=False,
        most=1281, found=found.append,
    )  # fmt: skip
    assert [trial.count for trial in found] == [1216, 1281]


def test_what_always_dies_ends_at_one_object() -> None:
    trials = _search(0.001, 8, runs=30, width=0.0001)
    assert trials[-1].count == 1
    assert len(trials) < 30


def test_three_runs_that_are_no_measurements_end_it() -> None:
    found: list[Trial] = []
    search(
        lambda count: Trial(run_id="r", count=count, outcome="invalid"), 100, runs=10, noise=None, early=False,
        found=found.append,
    )  # fmt: skip
    assert len(found) == 3


def test_it_ends_early_once_the_middle_is_known_well_enough() -> None:
    found: list[Trial] = []
    search(
        lambda count: Trial(run_id="r", count=count, outcome="killed" if count > 5000 else "survived"), 5000, runs=40,
        noise=0.004, early=True, found=found.append,
    )  # fmt: skip
    assert 4 <= len(found) < 12


def test_thrashing_counts_as_dead_and_invalid_not_at_all() -> None:
    outcomes: list[TrialOutcome] = ["survived", "killed", "thrashing", "invalid"]
    known = as_trials([Trial(run_id="r", count=1, outcome=outcome) for outcome in outcomes])
    assert [trial.died for trial in known] == [False, True, True]
