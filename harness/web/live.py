"""How a run stands while its record is being written: each part of its tables is read once, as it appears.

The record is all that is looked at, so the process that measures does nothing for those who watch. What is seen is what
was flushed: two seconds old at most (`record.writer.FLUSH_SECONDS`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from harness.core.errors import HarnessError
from harness.record import parts
from harness.record.models import LOAD_ACTIONS, Phase, Run
from harness.record.reader import RunRecord
from harness.report.results import clean

SERIES = {"memory": "memory.cgroup", "rss": "memory.rss", "limit": "memory.limit", "tasks": "tasks", "queue": "queue.depth",
          "kills": "oom.kills"}  # fmt: skip
"""What is told to the page, by the name of its series in the record; without labels, so of the whole subject."""
DRAWN = ("memory", "rss", "tasks", "queue")
BIN_S = 0.5
"""Of each series the highest sample in so many seconds is drawn."""
RATE_S = 5
"""Seconds over which the rate of requests is told."""
_LATE_S = 3
"""Seconds at the end of the record whose requests may not be written yet."""
_FRESH_S = 0.8
_MOST_NOTES = 3
_READ = ("samples", "requests")


@dataclass(slots=True)
class Curve:
    """One series as it is drawn: points that will not change any more, and the one that still may."""

    points: list[tuple[float, float]] = field(default_factory=list)
    latest: float | None = None
    _bin: int = -1
    _highest: tuple[float, float] = (0.0, 0.0)

    def add(self, t_s: float, value: float) -> None:
        """One sample, in order of time."""
        number = int(t_s / BIN_S)
        if number != self._bin:
            if self._bin >= 0:
                self.points.append(self._highest)
            self._bin, self._highest = number, (t_s, value)
        elif value >= self._highest[1]:
            self._highest = (t_s, value)
        self.latest = value


class Tail:
    """One run that is being written. `read` is called again and again, from one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = "running"
        self._names = {metric: name for name, metric in SERIES.items()}
        self._run: Run | None = None
        self._connection = duckdb.connect(":memory:", config={"threads": 1})
        self._begin()

    def _begin(self) -> None:
        """As nothing were read yet."""
        self.curves = {name: Curve() for name in SERIES}
        self.rates: list[tuple[float, float]] = []
        """Requests that were done, in each second of the run that is over."""
        self.notes: list[str] = []
        """Parts that cannot be read."""
        self._seen: set[Path] = set()
        self._done: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._each_second: Counter[int] = Counter()
        self._until_s = 0.0

    def read(self) -> None:
        """Take in what is new. Raises UsageError where run.json cannot be read."""
        record = RunRecord(self.path)
        self._run = record.run
        if self._run.state != "running":
            self.state = self._verdict(record)
        elif record.interrupted:
            self.state = "interrupted"
        if self._seen and any(parts.is_merged(part) for table in _READ for part in self._new(table)):
            self._begin()  # what was read part by part is in there again
        for part in self._new("samples"):
            self._take_samples(part)
        for part in self._new("requests"):
            self._take_requests(part)
        last = int(self._until_s) - (_LATE_S if self.state == "running" else 0)
        for second in range(len(self.rates), last):
            self.rates.append((float(second), float(self._each_second[second])))

    def status(self) -> dict[str, Any]:
        """How the run stands, for the page."""
        assert self._run is not None
        run = self._run
        phase = next((each for each in reversed(run.phases) if each.ended_ns is None), None) or (
            run.phases[-1] if run.phases else None
        )
        recent = self.rates[-RATE_S:]
        values = {name: curve.latest for name, curve in self.curves.items()}
        values["limit"] = values["limit"] or run.subject.memory_limit_bytes
        return {
            "state": self.state, "scenario": clean(run.scenario.name), "arm": clean(run.scenario.arm or ""),
            "started_at": run.started_at.isoformat(), "until_s": round(self._until_s, 1),
            "phase": None if phase is None else self._phase(phase),
            "phases": [
                {"name": clean(each.name), "start": each.started_ns / 1e9,
                 "end": None if each.ended_ns is None else each.ended_ns / 1e9, "load": each.action in LOAD_ACTIONS}
                for each in run.phases
            ],
            "rate": sum(count for _, count in recent) / len(recent) if recent else None,
            "done": sum(self._done.values()), "failed": sum(self._failed.values()), "notes": self.notes, **values,
        }  # fmt: skip

    def points(self, since: dict[str, int]) -> dict[str, list[tuple[float, float]]]:
        """Points of each curve after the first `since[name]`, which moves on."""
        drawn = {name: self.curves[name].points for name in DRAWN} | {"rate": self.rates}
        new = {name: found[since.get(name, 0) :] for name, found in drawn.items()}
        since.update({name: len(found) for name, found in drawn.items()})
        return {name: [(round(t, 2), value) for t, value in found] for name, found in new.items()}

    def _phase(self, phase: Phase) -> dict[str, Any]:
        ended = phase.ended_ns is not None
        return {
            "name": clean(phase.name), "start": phase.started_ns / 1e9, "requested": phase.requested,
            "done": phase.done if ended and phase.done is not None else self._done[phase.name],
            "failed": phase.failed if ended and phase.failed is not None else self._failed[phase.name],
            "wanted_per_s": phase.requested_per_s, "over": ended,
        }  # fmt: skip

    def _verdict(self, record: RunRecord) -> str:
        try:
            verdict = record.verdict
        except HarnessError:
            return "unreadable"
        return "sealed" if verdict is None else verdict.verdict

    def _new(self, table: str) -> list[Path]:
        return [part for part in parts.parts_of(self.path / table) if part not in self._seen]

    def _rows(self, part: Path, sql: str, parameters: list[object]) -> list[tuple[Any, ...]]:
        self._seen.add(part)
        try:
            return self._connection.execute(sql.replace("PART", parts.reading([part])), parameters).fetchall()  # type: ignore[no-any-return] # duckdb is untyped
        except duckdb.Error as error:
            if len(self.notes) < _MOST_NOTES:
                self.notes.append(f"{part.parent.name}/{part.name} cannot be read: {clean(str(error).splitlines()[0])}")
            return []

    def _take_samples(self, part: Path) -> None:
        rows = self._rows(
            part,
            "SELECT t_ns / 1e9, metric, value FROM PART WHERE labels = '{}' AND list_contains(?, metric) "
            "AND isfinite(value) ORDER BY t_ns",
            [list(self._names)],
        )
        for t_s, metric, value in rows:
            self.curves[self._names[metric]].add(t_s, value)
            self._until_s = max(self._until_s, t_s)

    def _take_requests(self, part: Path) -> None:
        rows = self._rows(
            part,
            "SELECT phase, done_ns // 1000000000, count(*) FILTER (error IS NULL), count(*) FILTER (error IS NOT NULL) "
            "FROM PART GROUP BY ALL",
            [],
        )
        for phase, second, done, failed in rows:
            self._done[phase] += done
            self._failed[phase] += failed
            self._each_second[int(second)] += done


class Watched:
    """The runs that somebody looks at. Several viewers of one run share its tail, and what it has read."""

    def __init__(self) -> None:
        self._tails: dict[str, tuple[Tail, asyncio.Lock]] = {}
        self._viewers: Counter[str] = Counter()
        self._read_at: dict[str, float] = {}

    @property
    def viewers(self) -> int:
        """How many look on, at all runs together."""
        return self._viewers.total()

    def enter(self, name: str, path: Path) -> None:
        """One more viewer of a run."""
        if name not in self._tails:
            self._tails[name] = (Tail(path), asyncio.Lock())
        self._viewers[name] += 1

    def leave(self, name: str) -> None:
        """One viewer less; the last one's going forgets what was read."""
        self._viewers[name] -= 1
        if self._viewers[name] <= 0:
            del self._viewers[name], self._tails[name]
            self._read_at.pop(name, None)

    async def read(self, name: str) -> Tail:
        """The tail of a run, at most a second old. Raises UsageError where run.json cannot be read."""
        tail, lock = self._tails[name]
        async with lock:
            if time.monotonic() - self._read_at.get(name, 0.0) > _FRESH_S:
                await asyncio.to_thread(tail.read)
                self._read_at[name] = time.monotonic()
        return tail
