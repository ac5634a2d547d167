"""From entries of the history to series that compare, in the order of their commits, and where their level changed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise

from harness.analysis.changepoints import change_points
from harness.core import metrics
from harness.record.history import Entry, History
from harness.record.history_models import SERIES_KEY, HistoryChange, HistoryDocument, HistoryPoint, HistorySeries

_SPOILED = ("invalid", "error", "interrupted")
_Key = tuple[str, ...]


def document(
    history: History, metric: str | None, *, since: datetime | None = None, scenario: str | None = None
) -> HistoryDocument:
    """All series of a metric; without one, all series, their points without values."""
    entries = history.entries(metric, since=since, scenario=scenario)
    groups: dict[_Key, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(tuple(str(getattr(entry, name)) for name in SERIES_KEY), []).append(entry)
    return HistoryDocument(
        store=str(history.directory),
        metric=metric,
        since=since,
        series=[_series(group, metric) for group in groups.values()],
        warnings=list(history.warnings),
    )


def by_commit(points: Sequence[HistoryPoint]) -> list[list[HistoryPoint]]:
    """Points in groups of one commit each, in order; a run that knows no commit is a group of its own."""
    groups: dict[str, list[HistoryPoint]] = {}
    for point in points:
        groups.setdefault(f"commit {point.commit}" if point.commit else f"run {point.id}", []).append(point)
    return list(groups.values())


def _series(entries: list[Entry], metric: str | None) -> HistorySeries:
    ordered = _in_order(entries)
    newest = max(entries, key=lambda entry: entry.started_at)
    values = [entry.results[metric] for entry in ordered if metric is not None]
    points = [_point(entry, metric) for entry in ordered]
    direction = _direction(metric)
    return HistorySeries(
        **{name: getattr(newest, name) for name in SERIES_KEY},
        cpu_model=newest.cpu_model,
        unit=next((value.unit for value in values if value.unit), None),
        direction=direction,
        points=points,
        changes=list(_changes(ordered, points, direction)) if newest.kind == "run" else [],
    )


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    """By commit, commits by their date where all have one, else by their first run; runs of one commit together."""
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.started_at, entry.id)):
        groups.setdefault(entry.commit or f"run {entry.id}", []).append(entry)
    dated = all(entry.committed_at is not None for group in groups.values() for entry in group)
    ordered = sorted(
        groups.values(), key=lambda group: (group[0].committed_at if dated else None) or group[0].started_at
    )
    return [entry for group in ordered for entry in group]


def _point(entry: Entry, metric: str | None) -> HistoryPoint:
    value = entry.results.get(metric) if metric is not None else None
    return HistoryPoint.model_construct(  # from typed entries; validating thousands takes as long as the query
        id=entry.id, at=entry.started_at, verdict=entry.verdict, commit=entry.commit, committed_at=entry.committed_at,
        dirty=entry.dirty, value=value.value if value else None, low=value.low if value else None,
        high=value.high if value else None, reason=value.reason if value else None,
        counts=entry.verdict not in _SPOILED, detail=entry.detail,
    )  # fmt: skip


def _direction(metric: str | None) -> metrics.Direction:
    try:
        return metrics.resolve(metric).metric.direction if metric is not None else "none"
    except ValueError:  # of another version of the harness
        return "none"


def _changes(entries: Sequence[Entry], points: Sequence[HistoryPoint], direction: str) -> Iterator[HistoryChange]:
    judged = [
        (entry, point) for entry, point in zip(entries, points, strict=True) if point.counts and point.value is not None
    ]
    values = [point.value for _, point in judged if point.value is not None]
    borders = [
        index
        for index, ((one, _), (other, _)) in enumerate(pairwise(judged), 1)
        if one.commit is None or one.commit != other.commit
    ]
    changes = change_points(values, borders)
    edges = [0, *(change.index for change in changes), len(values)]
    for number, change in enumerate(changes):
        before, after = values[edges[number] : change.index], values[change.index : edges[number + 2]]
        low, high = statistics.median(before), statistics.median(after)
        first, last = judged[change.index][0], judged[change.index - 1][0]
        worse = (high > low) == (direction == "lower")
        yield HistoryChange(
            commit=first.commit, commit_before=last.commit, id=first.id, at=first.started_at, before=low, after=high,
            relative=(high - low) / abs(low) if low else None,
            judged="different" if direction == "none" or high == low else "worse" if worse else "better",
            runs_before=len(before), runs_after=len(after), p=change.p, also=_also(last, first),
        )  # fmt: skip


def _also(last: Entry, first: Entry) -> list[str]:
    """What else may explain a change between two runs."""
    found = []
    if last.load_sha256 != first.load_sha256:
        found.append("the scenario's load or settings")
    if last.harness != first.harness:
        found.append(f"the harness ({last.harness} to {first.harness})")
    if first.dirty:
        found.append("the working tree had changes on top of its commit")
    return found
