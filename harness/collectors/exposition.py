"""Prometheus text, read again and again: the same series every second with other values.

What a series is called is parsed once (by the official parser, which takes 15 µs a line) and found again by its text; then a
line costs a look-up and a number. A subject with unbounded metrics exposes 100,000 lines, so everything is done in slices.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from harness.collectors.sampling import Slices

_CHECKED = 20  # lines whose form is checked, kept or not: enough to tell an exposition from anything else
_SAMPLE = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})?[ \t]+[-+0-9.eEinfaIN]+([ \t]+-?\d+)?\s*$")
_MOST_KNOWN = 5000
"""Series that are kept by their text; those beyond are parsed each time."""
_LINES = 64
"""Lines between two looks at the clock."""
_HASH = 0x23


@dataclass(slots=True, eq=False)
class Series:
    """One series of the kept families. `kept` is for the reader's notes: None until it has decided."""

    name: str
    labels: dict[str, str]
    kept: bool | None = None


class Exposition:
    """What one address exposes. `prefixes` are the beginnings of the names of kept families; their buckets are not kept."""

    def __init__(self, prefixes: tuple[bytes, ...], labels: dict[str, str]) -> None:
        """`labels` are given to every series in addition."""
        self._prefixes = prefixes
        self._labels = labels
        self._known: dict[bytes, Series | None] = {}

    async def read(self, body: bytes) -> tuple[int, list[tuple[Series, float]]]:
        """How many samples a text has, and those of the kept families. Raises ValueError where it is no exposition at all."""
        slices, count, kept = Slices(), 0, list[tuple[Series, float]]()
        prefixes, known = self._prefixes, self._known
        for number, line in enumerate(body.split(b"\n")):
            if number % _LINES == 0:
                await slices.pause()
            if not line or line[0] == _HASH or line.isspace():
                continue
            count += 1
            if count <= _CHECKED and not _SAMPLE.match(line):
                raise ValueError(f"not a sample: {line[:60].decode(errors='replace')!r}")
            if not line.startswith(prefixes):
                continue
            cut = line.rfind(b"}") + 1 or len(line.split(None, 1)[0])
            text = line[:cut]
            series = known[text] if text in known else self._learn(text, line)
            if series is not None:
                kept.append((series, _value(line[cut:])))
        return count, kept

    def _learn(self, text: bytes, line: bytes) -> Series | None:
        """The series of a line; None where it is not to be kept."""
        series = None
        if b"_bucket{" not in line:
            found = [each for family in text_string_to_metric_families(line.decode()) for each in family.samples]
            if found and found[0].name and not found[0].name.endswith("_created"):
                series = Series(found[0].name, {**found[0].labels, **self._labels})
        if len(self._known) < _MOST_KNOWN:
            self._known[text] = series
        return series


def _value(text: bytes) -> float:
    """The number behind a series; a time stamp may follow it."""
    try:
        return float(text)
    except ValueError:
        return float(text.split()[0])


async def largest_families(body: bytes, most: int) -> list[tuple[str, int]]:
    """The families of an exposition with the most samples, and how many each has."""
    slices, counts = Slices(), Counter[bytes]()
    for number, line in enumerate(body.split(b"\n")):
        if number % _LINES == 0:
            await slices.pause()
        if line and line[0] != _HASH and not line.isspace():
            counts[re.split(rb"[{ \t]", line, maxsplit=1)[0]] += 1
    return [(name.decode(errors="replace"), count) for name, count in counts.most_common(most)]
