"""The self-test's rates from pairs whose effects are drawn, and its intervals."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from harness.analysis.rates import clopper_pearson, resampled
from harness.gate.conditions import CONDITIONS, ITEMS, judge_condition
from harness.gate.pairing import Pair
from tests.unit.gate import gate_pairs

LEAK = CONDITIONS[0]


def leaking(directory: Path, count: int, added: float, noise: float = 20_000.0) -> list[Pair]:
    drawn = random.Random(count)
    heaps = [[{LEAK.metric: 44e6 + extra + drawn.gauss(0, noise)} for _ in range(count)] for extra in (0.0, added)]
    return gate_pairs.pairs(directory, heaps[0], heaps[1])


def test_a_leak_is_found_and_the_same_twice_is_not(tmp_path: Path) -> None:
    found = judge_condition("leak", "", {"leak": "1KiB"}, leaking(tmp_path / "a", 12, ITEMS * 1024), [LEAK], seed=1)
    assert (found.ok, found.rates[0].share, found.rates[0].experiments, found.rates[0].drawn) == (True, 1.0, 1, 1)
    assert (found.rates[0].low, found.rates[0].high) == pytest.approx((0.025, 1.0))
    same = judge_condition("same", "", {}, leaking(tmp_path / "b", 12, 0.0), [LEAK], seed=1)
    assert same.ok
    assert list(same.verdicts.values()) == ["pass"]


def test_a_leak_that_is_not_found_fails_and_so_does_a_false_alarm(tmp_path: Path) -> None:
    missed = judge_condition("leak", "", {"leak": "1KiB"}, leaking(tmp_path / "a", 12, 0.0), [LEAK], seed=1)
    assert (missed.ok, missed.sentence) == (False, "found in 0.0% of the gates (goal: at least 95%)")
    alarm = judge_condition("same", "", {}, leaking(tmp_path / "b", 12, ITEMS * 1024), [LEAK], seed=1)
    assert not alarm.ok
    assert "memory.heap.settled raised a false alarm in 100.0% of the gates" in alarm.sentence


def test_forty_pairs_are_little_more_than_three_experiments(tmp_path: Path) -> None:
    found = judge_condition("leak", "", {"leak": "1KiB"}, leaking(tmp_path, 40, ITEMS * 1024), [LEAK], seed=1)
    rate = found.rates[0]
    assert (rate.share, rate.drawn) == (1.0, 500)
    assert rate.experiments == pytest.approx(40 / 12)
    assert rate.low == pytest.approx(0.025 ** (12 / 40))


def test_too_few_valid_pairs_prove_nothing(tmp_path: Path) -> None:
    found = judge_condition("same", "", {}, leaking(tmp_path, 11, 0.0), [LEAK], seed=1)
    assert (found.ok, found.sentence) == (False, "11 valid pairs are too few for a gate of 12")


def test_clopper_and_pearson_by_hand() -> None:
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 1 - 0.025 ** (1 / 10)))
    assert clopper_pearson(5, 10) == pytest.approx((0.1871, 0.8129), abs=1e-4)
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_resampling_draws_each_item_once() -> None:
    seen: list[list[int]] = []
    rate = resampled(range(10), 4, lambda drawn: bool(seen.append(drawn)), draws=50, seed=1)
    assert (rate.share, rate.drawn, rate.experiments) == (0.0, 50, 2.5)
    assert all(len(set(drawn)) == 4 for drawn in seen)
    with pytest.raises(ValueError, match="3 are fewer than 4"):
        resampled(range(3), 4, bool, draws=1, seed=1)
