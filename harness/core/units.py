"""Quantities with units, as people write them in scenarios: `512Mi`, `2.5KB`, `200/s`, `3s`, `10m`, `50%`.

Each parses to a number in the base unit of its dimension: bytes, seconds, 1/s, or a plain number.
"""

from __future__ import annotations

import re
from typing import Literal

Dimension = Literal["bytes", "seconds", "per_second", "ratio", "count"]

_FACTORS: dict[Dimension, dict[str, float]] = {
    "bytes": {
        "B": 1, "K": 1e3, "KB": 1e3, "kB": 1e3, "M": 1e6, "MB": 1e6, "G": 1e9, "GB": 1e9,
        "Ki": 2**10, "KiB": 2**10, "Mi": 2**20, "MiB": 2**20, "Gi": 2**30, "GiB": 2**30,
    },
    "seconds": {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "min": 60, "h": 3600},
    "per_second": {"/s": 1, "/min": 1 / 60},
    "ratio": {"%": 0.01, "": 1},
    "count": {"": 1},
}  # fmt: skip
_QUANTITY = re.compile(r"\s*(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\d\s]*)\s*")


def parse(text: str | float, dimension: Dimension) -> float:
    """The value of `text` in the base unit of `dimension`.

    A bare number is taken as base units for bytes and counts; seconds and rates need their unit, so that `timeout: 10`
    is never read as the wrong thing. Raises ValueError with a sentence that names the accepted units.
    """
    factors = _FACTORS[dimension]
    wanted = ", ".join(unit for unit in factors if unit) or "no unit"
    number_text = "a number" if wanted == "no unit" else f"a number with one of {wanted}"
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a quantity; write {number_text}")
    number, unit = float(match["number"]), match["unit"]
    if unit in factors:
        return number * factors[unit]
    if unit == "" and (dimension == "bytes" or number == 0):
        return number
    if unit == "":
        raise ValueError(f"{text!r} lacks a unit; write one of {wanted}")
    raise ValueError(f"unit {unit!r} of {text!r} is not one of {wanted}")


def format_value(value: float, dimension: Dimension) -> str:
    """A value in base units as a person would write it, to three or four significant digits."""
    if dimension == "bytes":
        return _bytes(value)
    if dimension == "seconds":
        return _seconds(value)
    if dimension == "per_second":
        return f"{value:,.4g}/s" if abs(value) < 1000 else f"{value:,.0f}/s"
    if dimension == "ratio":
        return f"{value:.4g}"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def _bytes(value: float) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value:.0f} B"


def _seconds(value: float) -> str:
    magnitude = abs(value)
    if magnitude == 0:
        return "0 s"
    if magnitude < 1e-3:
        return f"{value * 1e6:.3g} µs"
    if magnitude < 1:
        return f"{value * 1e3:.3g} ms"
    if magnitude < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.1f} min"
