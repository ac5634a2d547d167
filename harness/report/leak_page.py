"""What a run of cycles found, as one self-contained HTML page: a curve for each quantity, its trend, its bound."""

from __future__ import annotations

from pathlib import Path

from harness.record.leak import Leak, LeakSeries
from harness.report import html
from harness.report import leak_terminal as terminal
from harness.report.figures import Chart, Timeline, Trace, byte_scale, line, nothing, rounded
from harness.report.results import clean
from harness.report.tables import Table

_COLOURS = {"grows": "--bad", "unclear": "--c3"}


def write(leak: Leak, path: Path) -> Path:
    """Write the page, whole or not at all. Raises EnvironmentFault where it cannot be written."""
    return html.save(path, lambda: render(leak))


def render(leak: Leak) -> str:
    """The page as text."""
    charts = [chart(series, leak.warm_up) for series in leak.series]
    return html.assemble(
        "leak.html.j2", Timeline(0.0, [], []), charts,
        leak=leak, headline=clean(leak.headline), charts=charts, tables=[_series(leak), _sites(leak)],
        findings=[(each.sort.replace("_", " "), clean(each.sentence)) for each in leak.findings],
        reasons=[clean(text) for text in (*leak.reasons, *leak.notes)], sites_reason=clean(leak.sites_reason or ""),
    )  # fmt: skip


def chart(series: LeakSeries, warm_up: int) -> Chart:
    """One quantity at rest over the cycles, with the trend that was taken from it."""
    told = [(cycle, point) for cycle, point in enumerate(series.points) if point is not None]
    if not told:
        return nothing(series.name, series.title, clean(series.sentence or "no samples"))
    scale, unit = byte_scale(max(point for _, point in told)) if series.unit == "B" else (1.0, "")
    hover = f"cycle %{{x}}: %{{y:.6~g}} {unit}"
    traces: list[Trace] = [
        {
            **line("at rest", [c for c, _ in told], [p / scale for _, p in told], "--c1", hover), "mode": "lines+markers",
            "marker": {"color": "--c1", "size": 6},
        }
    ]  # fmt: skip
    judged = [(cycle, point) for cycle, point in told if cycle > warm_up]
    if series.slope is not None and judged:
        middle = sorted(point - (series.slope * cycle) for cycle, point in judged)[len(judged) // 2]
        ends = [judged[0][0], judged[-1][0]]
        colour = _COLOURS.get(series.behaviour, "--c2")
        y = [(middle + series.slope * cycle) / scale for cycle in ends]
        traces.append(line("trend (Theil-Sen)", ends, y, colour, hover, dash="dash"))
        start = y[0]
        bound = [start, start + series.bound * (ends[1] - ends[0]) / scale]
        traces.append(line("growth that counts as none", ends, rounded(bound), "--c4", hover, dash="dot"))
    layout = {
        "xaxis": {"title": {"text": "cycles done"}, "rangemode": "tozero"},
        "yaxis": {"ticksuffix": f" {unit}" if unit else "", "rangemode": "normal"},
        "margin": {"l": 76, "r": 14, "t": 24, "b": 44},
    }
    return Chart(series.name, series.title, clean(series.sentence), traces, layout, height=280)


def _series(leak: Leak) -> Table:
    rows = []
    for each in leak.series:
        told = [point for point in each.points if point is not None]
        names = ", ".join(f"{name} +{rise:,.0f}" for name, rise in each.names.items())
        rows.append((
            each.title, *(terminal.value(each.unit, told[end] if told else None) for end in (0, -1)),
            terminal.per_object(each, leak.objects), terminal.threshold(each, leak.objects), each.behaviour,
            clean(f"{each.sentence}{': ' + names if names else ''}"),
        ))  # fmt: skip
    return Table(
        "Every quantity",
        ("at rest", "first", "last", "growth", "would find", "judged", "why"),
        rows,
        numbers=(1, 2, 3, 4),
    )


def _sites(leak: Leak) -> Table:
    rows = [
        (
            terminal.value("B", site.bytes_per_object), f"{site.allocations_per_object:.2f}", clean(site.site),
            clean(" < ".join(site.callers[:3])),
        )
        for site in leak.sites
    ]  # fmt: skip
    return Table(
        "Places in the code",
        ("bytes per object", "allocations per object", "allocated by", "called from"),
        rows,
        numbers=(0, 1),
    )
