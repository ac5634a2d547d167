"""The detector keeps its error rate on series without a change, and finds those that have one, where they have it."""

from __future__ import annotations

import numpy as np
import pytest

from harness.analysis import changepoints
from harness.analysis.changepoints import ALPHA, change_points


def test_a_step_is_found_where_it_is() -> None:
    rng = np.random.default_rng(1)
    values = [*rng.normal(100, 2, 20), *rng.normal(110, 2, 15), *rng.normal(95, 2, 20)]
    found = change_points(values)
    assert [change.index for change in found] == [20, 35]
    assert all(change.p <= ALPHA for change in found)
    assert change_points(values) == found, "the same values, the same answer"


def test_series_without_a_change_are_split_no_more_often_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changepoints, "_PERMUTATIONS", 99)  # the least that allows p = 0.01
    rng = np.random.default_rng(2)
    alarms = sum(bool(change_points(rng.lognormal(0, 1, size=20).tolist())) for _ in range(400))
    assert alarms <= 11, "nominal: 4 of 400, standard deviation 2"
    assert alarms >= 1, "a detector that never says anything keeps any error rate"


def test_a_clear_step_is_nearly_always_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changepoints, "_PERMUTATIONS", 199)
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(60):
        found = change_points([*rng.normal(0, 1, 15), *rng.normal(3, 1, 10)])
        hits += any(abs(change.index - 15) <= 1 for change in found)
    assert hits >= 57


def test_one_wild_value_is_no_change() -> None:
    values = [100.0 + number % 3 for number in range(30)]
    values[17] = 1e12
    assert change_points(values) == []


def test_counts_that_step_once_and_counts_that_never_move() -> None:
    assert [change.index for change in change_points([0.0] * 12 + [1.0] * 8)] == [12]
    assert change_points([7.0] * 40) == []


@pytest.mark.parametrize("count", [0, 1, 5])
def test_too_few_values_are_no_change(count: int) -> None:
    assert change_points([float(number > 2) for number in range(count)]) == []


def test_a_change_is_only_where_one_may_be() -> None:
    values = [0.0] * 10 + [5.0] * 10
    assert [change.index for change in change_points(values, borders=[4, 11, 16])] == [11]
    assert change_points(values, borders=[]) == []


def test_long_series_are_judged_by_fewer_orders() -> None:
    rng = np.random.default_rng(4)
    values = [*rng.normal(0, 1, 1500), *rng.normal(1, 1, 1500)]
    assert any(abs(change.index - 1500) < 30 for change in change_points(values))
