"""How large the payloads of a phase are: drawn by seed between two ends, or from a distribution with a heavy tail."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from statistics import NormalDist

from loadgen.fields import Fields

Size = Callable[[random.Random], int]
"""The source of an object's randomness -> bytes."""

_NORMAL = NormalDist()


def size_of(params: Fields, key: str) -> Size:
    """The sizes that `key` asks for: `N`, `[min, max]`, or a distribution by its name. Raises PlanError."""
    value = params.raw(key)
    if not isinstance(value, dict):
        low, high = params.size_range(key)
        return lambda source: source.randint(low, high)
    fields = Fields(value, f"{params.place}.{key}")
    low, high = fields.integer("min", minimum=0), fields.integer("max", minimum=1)
    drawn = _lognormal(fields) if "lognormal" in value else _pareto(fields)
    fields.done()

    def size(source: random.Random) -> int:
        # A tail without end would go beyond what the API takes; what is cut off lies at `max`, and is not drawn again.
        return round(min(max(drawn(_open_unit(source)), low), high))

    return size


def _open_unit(source: random.Random) -> float:
    """Uniform in (0, 1): the ends would be infinite sizes."""
    return max(source.random(), 2.0**-53)


def _lognormal(fields: Fields) -> Callable[[float], float]:
    inner = Fields(fields.raw("lognormal"), f"{fields.place}.lognormal")
    median, sigma = inner.positive("median"), inner.positive("sigma")
    inner.done()
    return lambda unit: median * math.exp(sigma * _NORMAL.inv_cdf(unit))


def _pareto(fields: Fields) -> Callable[[float], float]:
    inner = Fields(fields.raw("pareto"), f"{fields.place}.pareto")
    smallest, alpha = inner.positive("smallest"), inner.positive("alpha")
    inner.done()
    # in logarithms, for a small alpha leaves the range of a float
    return lambda unit: smallest * math.exp(min(-math.log(unit) / alpha, 50.0))
