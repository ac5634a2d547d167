"""The history as one self-contained HTML page: a chart per series with its changes, made like the report of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.record.history_models import HistoryDocument, HistorySeries
from harness.report import history_terminal as terminal
from harness.report import html
from harness.report.figures import Chart, Timeline, Trace, label, nothing, rounded, scale_of
from harness.report.results import clean, value_text


def write(document: HistoryDocument, path: Path) -> Path:
    """Write the page of a history of one metric. Raises EnvironmentFault where it cannot be written."""
    return html.save(path, lambda: render(document))


def render(document: HistoryDocument) -> str:
    """The page as text."""
    charts = [chart(series, f"series-{number}") for number, series in enumerate(document.series)]
    rows = [
        (terminal.title_of(series), terminal.place_of(series), terminal.sentence(change, series.unit))
        for series in document.series
        for change in series.changes
    ]
    return html.assemble(
        "history.html.j2",
        Timeline(0.0, [], []),
        charts,
        metric=clean(document.metric or ""),
        charts=charts,
        changes=rows,
        warnings=[clean(warning) for warning in document.warnings],
        runs=sum(len(series.points) for series in document.series),
        advisory=terminal.ADVISORY,
    )


def chart(series: HistorySeries, id_: str) -> Chart:
    """One series over its commits: every run a dot, the level between changes a line."""
    title = terminal.title_of(series)
    points = [point for point in series.points if point.value is not None]
    if not points:
        return nothing(id_, title, "None of these runs has a value.")
    values = [point.value or 0.0 for point in points]
    scale, unit = scale_of(max(values), series.unit or "")
    at = {point.id: number for number, point in enumerate(points)}
    texts = [
        label(f"{(point.commit or 'no commit')[:10]} · {point.at:%Y-%m-%d %H:%M} · {point.id} · {point.verdict}")
        for point in points
    ]
    found = [
        _dots(name, [(at[p.id], (p.value or 0.0) / scale, texts[at[p.id]]) for p in points if p.counts == counts], color, unit)
        for name, counts, color in (("runs", True, "--c1"), ("invalid, broken down or interrupted", False, "--c4"))
    ]  # fmt: skip
    traces = [trace for trace in found if trace["x"]]
    edges = [0, *(at[change.id] for change in series.changes), len(points)]
    levels = [change.before for change in series.changes] + [change.after for change in series.changes[-1:]]
    for number, level in enumerate(levels):
        ends = [edges[number] - 0.5, edges[number + 1] - 0.5]
        traces.append(_level(ends, level / scale, series, level))
    layout = {
        "hovermode": "closest",
        "xaxis": {
            "title": {"text": "runs, in the order of their commits"}, "tickmode": "auto", "range": [-0.6, len(points) - 0.4],
        },
        "yaxis": {"ticksuffix": f" {unit}" if unit else ""},
        "margin": {"l": 76, "r": 14, "t": 24, "b": 44},
    }  # fmt: skip
    return Chart(id_, title, terminal.place_of(series), traces, layout, height=340, wide=True)


def _dots(name: str, dots: Sequence[tuple[int, float, str]], color: str, unit: str) -> Trace:
    return {
        "type": "scatter", "mode": "markers", "name": label(name), "x": [x for x, _, _ in dots],
        "y": rounded([y for _, y, _ in dots]), "text": [text for _, _, text in dots],
        "marker": {"color": color, "size": 7}, "hovertemplate": f"%{{y:.6~g}} {unit}<br>%{{text}}<extra></extra>",
    }  # fmt: skip


def _level(ends: Sequence[float], level: float, series: HistorySeries, value: float) -> Trace:
    return {
        "type": "scatter", "mode": "lines", "name": label(f"level {value_text(value, series.unit or '')}"), "x": list(ends),
        "y": rounded([level, level]), "line": {"color": "--bad", "width": 2, "dash": "dash", "shape": "linear"},
        "hoverinfo": "skip",
    }  # fmt: skip
