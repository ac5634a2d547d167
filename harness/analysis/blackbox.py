"""What a run's record holds about the last moments of a subject that died of its memory: was killed, or hung at its limit. Pure.

Everything is as of its end: a sample or an answered request that came later is left out.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.core.handles import EndKind
from harness.record.models import EndingFacts
from harness.record.reader import RunRecord
from harness.record.tables import labels_of
from harness.record.windows import windows

_KILLED: frozenset[EndKind] = frozenset({"oom_limit", "oom_node"})
_MOMENTS = 12
_TASKS = 10
SERIES = ("memory.cgroup", "memory.rss", "memory.anon", "tasks", "queue.depth", "threads")
"""Series of the last moments, in the order shown; those never sampled are left out."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Values of the series at one time; `before_s` is how long before the end. None: not sampled yet."""

    before_s: float
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """Objects of one kind. `bytes` is the sum of the bodies sent."""

    kind: str
    created: int
    bytes: int
    under_way: int
    """Sent, and not answered when the end came."""
    alive: int | None
    """As a watch saw them last; None where nobody watched."""


@dataclass(frozen=True, slots=True)
class BlackBox:
    """The last moments. `missing` says what the record has not, and why."""

    t_s: float
    end: Literal["kill", "stop"]
    """What to call its end."""
    phase: str | None
    kills: int
    sentence: str
    exit_code: int | None
    limit_bytes: int | None
    peak_bytes: int | None
    evidence: Mapping[str, Any]
    moments: tuple[Moment, ...]
    heap: Mapping[str, float]
    heap_before_s: float | None
    """How long before the end the heap was read last: only after a forced collection."""
    tasks: tuple[tuple[str, int], ...]
    """Tasks by coroutine, most first."""
    objects: tuple[Loaded, ...]
    profile: Mapping[str, Any] | None
    """The event of memray: allocation sites at the high-water mark (`top`) and at the end (`left`)."""
    profile_window: str | None = None
    """In words, where memray saw a window of the run only."""
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def hung(self) -> bool:
        """It was stopped by the harness because it thrashed at its limit, which no kill had ended."""
        return self.end == "stop"


def read(record: RunRecord) -> BlackBox | None:
    """What is known of the last kill, or of how it hung at its limit; None where nothing died of its memory."""
    kills = list(record.events("oom_kill"))
    ending = record.run.ending
    hung = ending is not None and ending.kind == "thrashing"
    end: Literal["kill", "stop"] = "stop" if hung else "kill"
    by_ending = hung or (ending is not None and ending.kind in _KILLED)
    if not by_ending and not kills:
        return None
    event = kills[-1] if kills and not hung else {}  # a kill before it hung is another matter
    if by_ending:
        assert ending is not None
        t_ns, sentence = ending.t_ns, ending.sentence
    else:
        t_ns = int(event["t_ns"])
        sentence = "a process of the subject was killed by the kernel at the memory limit; its main process lived on"
    profile = next(reversed(list(record.events("memray"))), None)
    missing = {}
    if profile is None:
        missing["allocation sites"] = "no memray ran; run it again with --memray launch"
    heap, heap_t_ns = _heap(record, t_ns)
    if not heap:
        missing["heap"] = "it was never read: that takes a forced collection, in a subject with the harness's agent"
    moments = _moments(record, t_ns)
    if not moments:
        missing["samples"] = "none were taken before its end"
    return BlackBox(
        t_s=t_ns / 1e9,
        end=end,
        phase=next((p.name for p in record.run.phases if p.started_ns <= t_ns and t_ns <= (p.ended_ns or t_ns)), None),
        kills=max(len(kills), int(by_ending and not hung)),
        sentence=sentence,
        exit_code=ending.exit_code if by_ending and ending is not None else None,
        limit_bytes=record.run.subject.memory_limit_bytes,
        peak_bytes=_peak(ending) if hung else event.get("peak_bytes"),
        evidence={**(dict(ending.evidence) if by_ending and ending is not None else {}), **_plain(event)},
        moments=moments,
        heap=heap,
        heap_before_s=None if heap_t_ns is None else (t_ns - heap_t_ns) / 1e9,
        tasks=_tasks(record, t_ns),
        objects=_objects(record, t_ns),
        profile=profile,
        profile_window=_window(record, profile, t_ns, end),
        missing=missing,
    )


def _window(record: RunRecord, profile: Mapping[str, Any] | None, t_ns: int, end: str) -> str | None:
    """What a capture of a window cannot tell: what was allocated before it, and after."""
    number = str(profile.get("window") or "") if profile else ""
    window = next((each for each in windows(record) if each.number == number), None)
    if window is None:
        return None
    before = f"what was allocated from {(t_ns - window.started_ns) / 1e9:.1f} s before the {end} on ({window.why})"
    if window.ended_ns is None or window.ended_ns >= t_ns:
        return before
    return f"{before}, until {(t_ns - window.ended_ns) / 1e9:.1f} s before it"


def _peak(ending: EndingFacts | None) -> int | None:
    """The highest charge by the counters at the end."""
    counters = (ending.evidence.get("cgroup") or {}).get("after") if ending is not None else None
    peak = counters.get("peak_bytes") if isinstance(counters, Mapping) else None
    return peak if isinstance(peak, int) else None


def _plain(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("type", "t_ns", "phase")}


def _moments(record: RunRecord, t_ns: int) -> tuple[Moment, ...]:
    found: dict[str, tuple[list[int], list[float]]] = {}
    for metric in SERIES:
        rows = record.sql(
            "SELECT t_ns, value FROM (SELECT t_ns, value FROM samples WHERE metric = ? AND labels = '{}' AND t_ns <= ? "
            "ORDER BY t_ns DESC LIMIT 400) ORDER BY t_ns",
            [metric, t_ns],
        )
        if rows:
            found[metric] = ([int(t) for t, _ in rows], [float(value) for _, value in rows])
    if not found:
        return ()
    times = found.get("memory.cgroup", found.get("memory.rss", next(iter(found.values()))))[0][-_MOMENTS:]
    return tuple(Moment((t_ns - t) / 1e9, {metric: _at(series, t) for metric, series in found.items()}) for t in times)


def _at(series: tuple[list[int], list[float]], t_ns: int) -> float | None:
    place = bisect.bisect_right(series[0], t_ns)
    return series[1][place - 1] if place else None


def _heap(record: RunRecord, t_ns: int) -> tuple[dict[str, float], int | None]:
    rows = record.sql(
        "SELECT labels, arg_max(value, t_ns), max(t_ns) FROM samples WHERE metric = 'memory.heap' AND t_ns <= ? GROUP BY labels",
        [t_ns],
    )
    heap = {labels_of(labels).get("part", "sum"): float(value) for labels, value, _ in rows}
    return heap, max((int(t) for _, _, t in rows), default=None)


def _tasks(record: RunRecord, t_ns: int) -> tuple[tuple[str, int], ...]:
    rows = record.sql(
        "SELECT labels->>'coroutine', arg_max(value, t_ns) AS last FROM samples WHERE metric = 'tasks' AND labels <> '{}' "
        "AND t_ns <= ? GROUP BY labels ORDER BY last DESC, 1",
        [t_ns],
    )
    return tuple((str(name), int(value)) for name, value in rows if name is not None and value)[:_TASKS]


def _objects(record: RunRecord, t_ns: int) -> tuple[Loaded, ...]:
    created = record.sql(
        "SELECT kind, count(*) FILTER (error IS NULL AND done_ns <= ?), "
        "coalesce(sum(bytes) FILTER (error IS NULL AND done_ns <= ?), 0), count(*) FILTER (sent_ns <= ? AND done_ns > ?) "
        "FROM requests WHERE verb = 'create' GROUP BY kind ORDER BY kind",
        [t_ns] * 4,
    )
    alive = dict(
        record.sql(
            "SELECT labels->>'kind', arg_max(value, t_ns) FROM samples WHERE metric = 'objects' AND t_ns <= ? GROUP BY labels",
            [t_ns],
        )
    )
    rows = {str(kind): (int(count), int(size), int(open_)) for kind, count, size, open_ in created}
    for kind, count in alive.items():
        if count:
            rows.setdefault(str(kind), (0, 0, 0))
    return tuple(
        Loaded(kind, *numbers, None if kind not in alive else int(alive[kind]))
        for kind, numbers in sorted(rows.items())
    )
