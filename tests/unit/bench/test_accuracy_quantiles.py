"""Nearest-rank quantiles, with effects that never came counted as infinity."""

from __future__ import annotations

import math

import pytest

from tests.accuracy.quantiles import nearest_rank


@pytest.mark.parametrize(
    ("values", "q", "expected"),
    [
        ([5.0], 0.99, 5.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([float(i) for i in range(1, 101)], 0.99, 99.0),
        ([1.0] * 99 + [math.inf], 0.99, 1.0),
        ([1.0] * 98 + [math.inf] * 2, 0.99, math.inf),
        ([3.0, 1.0, 2.0], 1.0, 3.0),
    ],
)
def test_nearest_rank(values: list[float], q: float, expected: float) -> None:
    assert nearest_rank(values, q) == expected


def test_no_values_have_no_quantile() -> None:
    with pytest.raises(ValueError, match="no values"):
        nearest_rank([], 0.5)
