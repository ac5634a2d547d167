"""The history in a terminal: a curve and a row per commit for each series, its changes, and what to ask for next."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.analysis.history import by_commit
from harness.record.history_models import HistoryChange, HistoryDocument, HistoryPoint, HistorySeries
from harness.report.results import NONE, clean, value_text

_BARS = "▁▂▃▄▅▆▇█"
_WIDEST_CURVE = 100
_HEAD = ("commit", "first run", "runs", "median", "lowest", "highest", "since before", "verdicts")
_LEFT = (0, 1, 7)
_STYLES = {"worse": "bold red", "better": "green", "different": "yellow"}
ADVISORY = "Changes are advisory: they inform, and no exit code depends on them. `harness gate` decides."


def render(document: HistoryDocument, console: Console, *, limit: int) -> None:
    """Print a history; of each series the newest `limit` commits."""
    for warning in document.warnings:
        _print(console, Text(f"warning: {clean(warning)}", "yellow"))
    if not document.series:
        what = f"nothing of {document.metric}" if document.metric else "nothing"
        _print(
            console, Text(f"{clean(document.store)} has {what}; `harness run` and `harness history import` add to it")
        )
        return
    if document.metric is None:
        _overview(document, console)
        return
    for number, series in enumerate(document.series):
        if number:
            _print(console, Text())
        _series(series, document.metric, console, limit)
    if any(series.changes for series in document.series):
        _print(console, Text())
        _print(console, Text(ADVISORY, "dim"))


def title_of(series: HistorySeries) -> str:
    """What a series is of, in a line."""
    parts = [clean(series.scenario)] + [
        f"{what} {clean(name)}"
        for what, name in (("arm", series.arm), ("profile", series.profile), ("subject", series.subject))
        if name
    ]
    if series.sets:
        parts.append(" ".join(f"{clean(key)}={clean(value)}" for key, value in json.loads(series.sets).items()))
    if series.profilers:
        parts.append(f"under {clean(series.profilers)}")
    return " · ".join([*(["gate"] if series.kind == "gate" else []), *parts])


def place_of(series: HistorySeries) -> str:
    """Where a series was measured: only equal machines are in one."""
    return f"machine {clean(series.machine or '?')} ({clean(series.cpu_model or '?')}), {clean(series.cluster or '?')}"


def sentence(change: HistoryChange, unit: str | None) -> str:
    """A change for people: by how much, where, how sure."""
    before, after = value_text(change.before, unit or ""), value_text(change.after, unit or "")
    share = "" if change.relative is None else f" ({change.relative:+.1%})"
    also = f"; also changed: {', '.join(map(clean, change.also))}" if change.also else ""
    return (
        f"{change.judged} at {_commit(change.commit)} ({change.at:%Y-%m-%d}, after {_commit(change.commit_before)}): "
        f"{before} -> {after}{share}, medians of {change.runs_before} and {change.runs_after} runs, p {change.p:.3f}{also}"
    )


def sparkline(values: Sequence[float]) -> str:
    """A curve of one character per value, lowest to highest."""
    low, high = min(values), max(values)
    if high == low:
        return _BARS[3] * len(values)
    return "".join(_BARS[min(int((value - low) / (high - low) * len(_BARS)), len(_BARS) - 1)] for value in values)


def _series(series: HistorySeries, metric: str, console: Console, limit: int) -> None:
    _print(console, Text(f"{clean(metric)}  {title_of(series)}", "bold"))
    _print(console, Text(f"  {place_of(series)}", "dim"))
    groups = by_commit(series.points)
    middles = [median for group in groups if (median := _median(group)) is not None]
    if not middles:
        reasons = sorted({clean(point.reason) for point in series.points if point.reason})
        _print(console, Text(f"  no value yet{': ' + '; '.join(reasons) if reasons else ''}", "yellow"))
        return
    shown = middles[-max(min(_WIDEST_CURVE, console.width - 4), 10) :]
    _print(console, Text(f"  {sparkline(shown)}", "cyan"))
    lowest, highest = value_text(min(shown), series.unit or ""), value_text(max(shown), series.unit or "")
    _print(console, Text(f"  medians of {len(shown)} commits, {lowest} to {highest}", "dim"))
    for change in series.changes:
        _print(console, Text.assemble("  ", (sentence(change, series.unit), _STYLES[change.judged])))
    rows = list(_rows(groups, series))
    if len(rows) > limit:
        _print(console, Text(f"  the newest {limit} of {len(rows)} commits (--limit):", "dim"))
    _table([_HEAD, *rows[-limit:]], _LEFT, console)


def _rows(groups: Sequence[Sequence[HistoryPoint]], series: HistorySeries) -> Iterator[tuple[str, ...]]:
    before: float | None = None
    for group in groups:
        values = [point.value for point in group if point.value is not None and point.counts]
        median = _median(group)
        share = f"{(median - before) / abs(before):+.1%}" if median is not None and before else ""
        unit = series.unit or ""
        figures = (median, min(values, default=None), max(values, default=None))
        dirty = "+" if any(point.dirty for point in group) else ""
        yield (
            _commit(group[0].commit) + dirty, f"{group[0].at:%Y-%m-%d %H:%M}", str(len(group)),
            *(value_text(figure, unit) for figure in figures), share, verdicts(group),
        )  # fmt: skip
        before = before if median is None else median


def _overview(document: HistoryDocument, console: Console) -> None:
    head = ("runs", "commits", "first", "newest", "verdicts", "what")
    rows = [
        (
            str(len(series.points)), str(len({point.commit for point in series.points if point.commit})),
            f"{min(point.at for point in series.points):%Y-%m-%d}", f"{max(point.at for point in series.points):%Y-%m-%d}",
            verdicts(series.points), f"{title_of(series)} · {place_of(series)}",
        )
        for series in document.series
    ]  # fmt: skip
    _table([head, *rows], (4, 5), console)
    _print(
        console,
        Text("\nharness history METRIC shows one, such as memory.rss.peak; --metrics lists those there are", "dim"),
    )


def verdicts(points: Sequence[HistoryPoint]) -> str:
    """How often each verdict came."""
    counts: dict[str, int] = {}
    for point in points:
        counts[point.verdict] = counts.get(point.verdict, 0) + 1
    return ", ".join(f"{count} {clean(name)}" for name, count in counts.items())


def _median(group: Sequence[HistoryPoint]) -> float | None:
    values = [point.value for point in group if point.value is not None and point.counts]
    return statistics.median(values) if values else None


def _commit(commit: str | None) -> str:
    return clean(commit[:10]) if commit else NONE


def _table(rows: Sequence[Sequence[str]], left: Sequence[int], console: Console) -> None:
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [
            cell + " " * (width - cell_len(cell)) if column in left else " " * (width - cell_len(cell)) + cell
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        _print(console, Text(f"  {'  '.join(cells)}".rstrip(), "dim" if number == 0 else ""))


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
