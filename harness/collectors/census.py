"""One census over all runtimes: what is under way in the subject, counted by name.

asyncio tasks, threads and greenlets are told by the agent, goroutines by pprof. It is taken when the system is at rest, after
a forced collection: before the load (the baseline) and once settled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.core.sinks import Sink

APART_S = 0.3
"""Between the two looks of a census."""

ROWS = 200
"""Rows kept of one census; the rest is told as a number."""


@dataclass(frozen=True, slots=True)
class Row:
    """`count` of a `sort` that were started as `name`; `state` and `frame` (where they are now) None where nobody tells."""

    sort: str
    name: str
    state: str | None
    frame: str | None
    count: int


def of_processes(answers: Iterable[Mapping[str, Any]]) -> tuple[list[Row], dict[str, str]]:
    """The sum over the processes of a Python subject, and why something is not counted."""
    counts: Counter[tuple[str, str, str | None, str | None]] = Counter()
    reasons: dict[str, str] = {}
    for answer in answers:
        for sort, name, state, frame, count in answer.get("census", ()):
            counts[sort, name, state, frame] += count
        reasons |= answer.get("census_reasons", {})
        if "census" not in answer:
            reasons["process"] = "a process could not count what is under way in it"
    return [Row(*key, count) for key, count in counts.most_common()], reasons


def least(first: Sequence[Row], second: Sequence[Row]) -> list[Row]:
    """What was there at both looks: of each name the rows of the look that saw fewer.

    One look alone may meet a request that is just being served, our own scrape of the subject's metrics among them.
    """
    rows: list[Row] = []
    before, now = _by_name(first), _by_name(second)
    for key in before.keys() & now.keys():
        rows += min(before[key], now[key], key=lambda found: sum(row.count for row in found))
    return sorted(rows, key=lambda row: (-row.count, row.sort, row.name))


def _by_name(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.sort, row.name), []).append(row)
    return found


def write(sink: Sink, rows: list[Row], reasons: Mapping[str, str]) -> None:
    """Put a census on record."""
    told = dict(reasons)
    if len(rows) > ROWS:
        told["rows"] = f"{len(rows) - ROWS} more rows, of {sum(row.count for row in rows[ROWS:])} in all"
    totals: Counter[str] = Counter()
    for row in rows:
        totals[row.sort] += row.count
    sink.event("census", totals=dict(totals), rows=[asdict(row) for row in rows[:ROWS]], reasons=told)
