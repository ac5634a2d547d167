"""Quantities: what people write must mean one thing only."""

from __future__ import annotations

import pytest

from harness.core.units import Dimension, format_value, parse


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("512Mi", "bytes", 512 * 2**20),
        ("2.5KB", "bytes", 2500),
        ("1GiB", "bytes", 2**30),
        (4096, "bytes", 4096),
        ("3s", "seconds", 3),
        ("250ms", "seconds", 0.25),
        ("10m", "seconds", 600),
        ("0", "seconds", 0),
        ("200/s", "per_second", 200),
        ("120/min", "per_second", 2),
        ("50%", "ratio", 0.5),
        ("1", "ratio", 1),
        ("0", "count", 0),
    ],
)
def test_reads_what_people_write(text: str, dimension: Dimension, value: float) -> None:
    assert parse(text, dimension) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "dimension", "says"),
    [
        ("60", "seconds", "lacks a unit"),
        ("200", "per_second", "lacks a unit"),
        ("3MB", "seconds", "'MB' of '3MB' is not one of"),
        ("fast", "bytes", "is not a quantity"),
        ("", "count", "is not a quantity"),
    ],
)
def test_refuses_what_is_ambiguous(text: str, dimension: Dimension, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse(text, dimension)


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (3 * 2**20, "bytes", "3.0 MiB"),
        (512, "bytes", "512 B"),
        (0.0042, "seconds", "4.2 ms"),
        (150, "seconds", "2.5 min"),
        (1234, "count", "1,234"),
        (1278.4, "per_second", "1,278/s"),
    ],
)
def test_writes_what_people_read(value: float, dimension: Dimension, text: str) -> None:
    assert format_value(value, dimension) == text
