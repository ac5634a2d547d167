"""Quantities on the command line, written as in scenarios: `10KiB`, `100..10240`, `20ms`, `1/10`, `+5%`."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction

_BYTES = {
    "": 1, "B": 1, "K": 10**3, "KB": 10**3, "M": 10**6, "MB": 10**6, "G": 10**9, "GB": 10**9,
    "Ki": 2**10, "KiB": 2**10, "Mi": 2**20, "MiB": 2**20, "Gi": 2**30, "GiB": 2**30,
}  # fmt: skip
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0}
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


def size(text: str) -> int:
    """Bytes."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in _BYTES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size, such as 512 or 10KiB")
    return round(float(match[1]) * _BYTES[match[2]])


def sizes(text: str) -> tuple[int, int]:
    """Smallest and largest: `100..10KiB`, or one size for both."""
    first, dots, last = text.partition("..")
    smallest, largest = size(first), size(last if dots else first)
    if smallest > largest:
        raise argparse.ArgumentTypeError(f"{text!r} ends below where it begins; write it as 100..10KiB")
    return smallest, largest


def duration(text: str) -> float:
    """Seconds."""
    match = _QUANTITY.fullmatch(text.strip())
    if text.strip() == "0":
        return 0.0
    if match is None or match[2] not in _SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration with its unit, such as 20ms")
    return float(match[1]) * _SECONDS[match[2]]


def share(text: str) -> Fraction:
    """How many per reconcile: `2`, `0.1`, `1/10`."""
    try:
        value = Fraction(text.strip())
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number per reconcile, such as 2 or 1/10") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than none per reconcile")
    return value


def factor(text: str) -> float:
    """By what something is multiplied: `1.05`, or `+5%`."""
    match = re.fullmatch(r"\s*([+-]?\d+(?:\.\d+)?)\s*(%?)\s*", text)
    value = -1.0 if match is None else 1 + float(match[1]) / 100 if match[2] else float(match[1])
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a factor, such as 1.05 or +5%")
    return value
