"""Statistics, ratios and rounds of the benchmarks: pure, so a wrong figure is not a noisy one."""

from __future__ import annotations

import pytest

from tests.bench.rounds import Rounds
from tests.bench.statistics import Summary, pair_ratios, summarise
from tests.bench.surroundings import Shares, shares_of


def test_a_summary_is_least_middle_and_greatest_and_noise_is_their_distance() -> None:
    summary = summarise([30.0, 10.0, 20.0, 22.0])
    assert summary == Summary(10.0, 21.0, 30.0)
    assert summary.spread == pytest.approx(20 / 21)


def test_no_noise_can_be_given_around_nothing() -> None:
    assert summarise([-1.0, 0.0, 1.0]).spread is None
    with pytest.raises(ValueError, match="no values"):
        summarise([])


def test_ratios_are_of_pairs_and_not_of_medians() -> None:
    # Whatever slowed down the second round slowed down both of its sides: each round tells by itself.
    assert pair_ratios([900.0, 250.0], [1000.0, 500.0]) == [0.9, 0.5]


@pytest.mark.parametrize(
    ("ours", "others", "why"), [([1.0], [1.0, 2.0], "1 values cannot be paired with 2"), ([1.0], [0.0], "nothing")]
)
def test_a_ratio_that_compares_nothing_is_refused(ours: list[float], others: list[float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        pair_ratios(ours, others)


class Clock:
    """A fake clock: each reading is what it was set to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def rounds_done(rounds: Rounds, clock: Clock, *lengths: float) -> list[int]:
    """The rounds that take place if they last as long as given."""
    done = []
    for number, length in zip(rounds, lengths, strict=False):
        done.append(number)
        clock.now += length
    return done


def test_rounds_end_when_another_like_the_longest_would_be_too_late() -> None:
    clock = Clock()
    rounds = Rounds(5, deadline_s=10.0, now=clock)
    assert rounds_done(rounds, clock, 2.0, 5.0, 1.0, 1.0, 1.0) == [1, 2]
    assert (rounds.begun, rounds.out_of_time) == (2, True)


def test_the_first_round_takes_place_however_late_it_is() -> None:
    clock = Clock()
    clock.now = 11.0
    assert rounds_done(Rounds(5, deadline_s=10.0, now=clock), clock, 1.0, 1.0) == [1]


def test_without_a_deadline_all_rounds_take_place() -> None:
    clock = Clock()
    rounds = Rounds(2, now=clock)
    assert rounds_done(rounds, clock, 1e6, 1e6, 1e6) == [1, 2]
    assert not rounds.out_of_time


def test_what_is_busy_and_not_ours_is_others() -> None:
    assert shares_of(whole_s=20.0, busy_s=11.0, stolen_s=2.0, ours_s=6.0) == Shares(others=0.25, stolen=0.1)


def test_ticks_never_make_less_than_nothing() -> None:
    assert shares_of(whole_s=20.0, busy_s=5.99, stolen_s=-0.01, ours_s=6.0) == Shares(0.0, 0.0)
