"""What it costs to start with everything there, from the record of a run of cold starts alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from harness.analysis.facts import Facts
from harness.core.units import format_value
from harness.record.coldstart import ColdStart, Coldstarts, MemoryUse
from harness.record.models import Phase, Verdict
from harness.record.reader import RunRecord
from harness.record.tables import labels_of

_LE = re.compile(r"[0-9.e+-]+|\+Inf")
"""The border of a bucket, as an API server writes it."""


@dataclass(frozen=True, slots=True)
class _Window:
    """From what began a start until it was at rest, and the point taken there."""

    sort: Literal["growth", "restart", "storm"]
    number: int
    begin_ns: int
    """Of the process, or of the server's death: what times count from."""
    ready_ns: int | None
    phase: Phase
    point: Phase

    @property
    def quiet_ns(self) -> int:
        return self.point.started_ns


def result(record: RunRecord, verdict: Verdict, notes: Sequence[str] = ()) -> Coldstarts:
    """Every start of a run, in order."""
    facts = Facts(record)
    starts = [_start(facts, window) for window in _windows(facts)]
    objects = sum(p.done or 0 for p in facts.load_phases if p.action == "create")
    return Coldstarts(
        run_id=record.run.run_id,
        scenario=record.run.scenario.name,
        verdict=verdict.verdict,
        exit_code=verdict.exit_code,
        headline=_headline(starts, objects, verdict),
        objects=objects,
        starts=starts,
        reasons=list(verdict.reasons),
        notes=list(notes),
    )


def _windows(facts: Facts) -> Iterator[_Window]:
    """Each point, with what began before it: the load, a restart of the subject, or one of the API server."""
    phases = facts.run.phases
    points = [p for p in phases if p.action == "point" and p.ended_ns is not None]
    restarts = list(facts.record.events("restart"))
    storms = list(facts.record.events("apiserver_restarted"))
    numbers: Counter[str] = Counter()
    for point in points:
        before = [p for p in phases if p.started_ns < point.started_ns and p.action in ("create", "restart")]
        if not before:
            continue
        last = before[-1]
        if last.action == "create":
            first = facts.load_phases[0]
            yield _Window("growth", 1, first.started_ns, None, first, point)
            continue
        inside = [(e["killed_ns"], e["ready_ns"], "storm") for e in storms] + [
            (e["started_ns"], e["ready_ns"], "restart") for e in restarts if e.get("ready_ns") is not None
        ]
        for begin, ready, sort in inside:
            if last.started_ns <= begin <= point.started_ns:
                numbers[sort] += 1
                kind: Literal["restart", "storm"] = "storm" if sort == "storm" else "restart"
                yield _Window(kind, numbers[sort], begin, ready, last, point)


def _start(facts: Facts, window: _Window) -> ColdStart:
    answered = facts.record.sql(
        "SELECT labels->>'kind', t_ns + value * 1e9 FROM samples WHERE metric = 'api.list' AND t_ns BETWEEN ? AND ?",
        [window.begin_ns, window.quiet_ns],
    )
    loaded = {item.kind for item in facts.load_phases if item.action == "create"}
    of_load = [end for kind, end in answered if kind in loaded]
    began = window.begin_ns
    if window.sort == "growth":
        answered, of_load = [], []
    return ColdStart(
        sort=window.sort,
        number=window.number,
        ready_s=None if window.ready_ns is None else (window.ready_ns - began) / 1e9,
        first_object_s=(min(of_load) - began) / 1e9 if of_load else None,
        synced_s=(max(end for _, end in answered) - began) / 1e9 if answered else None,
        settled_s=(window.quiet_ns - began) / 1e9,
        rss=_memory(facts, "memory.rss", window),
        anon=_memory(facts, "memory.anon", window),
        cgroup=_memory(facts, "memory.cgroup", window),
        lists=dict(sorted(Counter(kind for kind, _ in answered).items())),
        listed_bytes=_listed(facts, window) if window.sort != "growth" else {},
        subject_cpu_s=_used(facts, "cpu.seconds", window),
        apiserver_cpu_s=_used(facts, "apiserver.cpu", window),
        apiserver_rss_peak=_most(facts, "apiserver.rss", window),
        apiserver_inflight=_most(facts, "apiserver.inflight", window, '{"kind":"readOnly"}'),
        apiserver_list_p99_s=_list_p99(facts, window),
    )


def _memory(facts: Facts, metric: str, window: _Window) -> MemoryUse:
    peak = _most(facts, metric, window)
    settled = facts.series(metric, "median", phase=window.point.name)
    return MemoryUse(peak=peak, settled=settled, ratio=peak / settled if peak is not None and settled else None)


def _most(facts: Facts, metric: str, window: _Window, labels: str = "{}") -> float | None:
    return facts.scalar(
        "SELECT max(value) FROM samples WHERE metric = ? AND labels = ? AND t_ns BETWEEN ? AND ?",
        metric, labels, window.begin_ns, window.point.ended_ns,
    )  # fmt: skip


def _cumulative(facts: Facts, metric: str, window: _Window) -> dict[str, list[float]]:
    """A cumulative metric's samples by series, from the last before the window on to its end."""
    begin = min(window.phase.started_ns, window.begin_ns)
    rows = facts.record.sql(
        "SELECT labels, value FROM samples WHERE metric = ? AND t_ns <= ? AND t_ns >= coalesce("
        "(SELECT max(t_ns) FROM samples WHERE metric = ? AND t_ns <= ?), 0) ORDER BY t_ns",
        [metric, window.quiet_ns, metric, begin],
    )
    found: dict[str, list[float]] = {}
    for labels, value in rows:
        found.setdefault(labels, []).append(float(value))
    return found


def _grown(values: Sequence[float]) -> float:
    """By how much a counter grew; where it fell a new process began to count at 0."""
    total = 0.0
    for earlier, later in pairwise(values):
        total += later - earlier if later >= earlier else later
    return total


def _used(facts: Facts, metric: str, window: _Window) -> float | None:
    series = _cumulative(facts, metric, window).get("{}")
    return None if not series or len(series) < 2 else _grown(series)


def _listed(facts: Facts, window: _Window) -> dict[str, float]:
    sums = {
        labels_of(labels).get("resource", "?"): _grown(values if window.sort == "restart" else [0.0, values[-1]])
        for labels, values in _cumulative(facts, "apiserver.listed", window).items()
    }
    return dict(sorted(((n, v) for n, v in sums.items() if v > 0), key=lambda item: -item[1]))


def _list_p99(facts: Facts, window: _Window) -> float | None:
    """The border below which 99 % of the lists in the window were answered, by the server's own histogram."""
    borders: dict[float, float] = {}
    for labels, values in _cumulative(facts, "apiserver.duration", window).items():
        named = labels_of(labels)
        if named.get("verb") == "list" and _LE.fullmatch(named.get("le", "")):
            grown = _grown(values if window.sort != "storm" else [0.0, values[-1]])
            borders[float(named["le"].replace("+Inf", "inf"))] = grown
    total = borders.get(float("inf"), 0.0)
    if not total:
        return None
    border = min(edge for edge, count in borders.items() if count >= 0.99 * total)
    return None if border == float("inf") else border


def _headline(starts: Sequence[ColdStart], objects: int, verdict: Verdict) -> str:
    restarts = [each for each in starts if each.sort == "restart"]
    if not restarts:
        return verdict.reasons[0] if verdict.reasons else "no restart was completed"
    worst = max(restarts, key=lambda each: each.rss.peak or 0.0)
    synced = max((each.synced_s for each in restarts if each.synced_s is not None), default=None)
    parts = [f"with {objects:,} objects there"]
    if worst.rss.peak is not None and worst.rss.settled is not None:
        peak, settled = (format_value(value, "bytes") for value in (worst.rss.peak, worst.rss.settled))
        parts.append(f"a restart peaks at {peak} RSS and settles at {settled}")
    growth = next((each.rss.peak for each in starts if each.sort == "growth"), None)
    if growth is not None:
        parts.append(f"growing into them peaked at {format_value(growth, 'bytes')}")
    if synced is not None:
        parts.append(f"all lists were answered after {format_value(synced, 'seconds')} at most")
    return ", ".join(parts)
