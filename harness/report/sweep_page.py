"""A sweep as one self-contained HTML page: what decides against each parameter, and beside it what it costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.record.sweep import Sweep, SweepCell, SweepKnee
from harness.report import html, series_page, sweep_tables
from harness.report.figures import PALETTE, Chart, Trace, byte_scale, label, line, nothing, rounded
from harness.report.results import clean
from harness.report.sweep_tables import dimension

_COSTS = {
    "writes.conflict": "Conflicting writes", "queue.depth.max": "Items waiting, at most", "memory.rss.peak": "Peak memory",
    "tasks.peak": "Tasks, at most",
}  # fmt: skip
_MOST_LINES = 7


def write(sweep: Sweep, path: Path) -> Path:
    """Write the page. Raises EnvironmentFault where it cannot be written."""
    return html.save(path, lambda: render(sweep))


def render(sweep: Sweep) -> str:
    """The page as text."""
    profile = f" · profile {sweep.profile}" if sweep.profile else ""
    return series_page.render(
        title=f"Sweep of {sweep.scenario}{profile}",
        about=f"{sweep.experiment_id} · {len(sweep.runs)} runs · {sweep.machine}",
        answer=sweep_tables.answer(sweep), said=sweep.reasons, warnings=sweep.warnings, charts=list(charts(sweep)),
        tables=[sweep_tables.cells(sweep), sweep_tables.knees(sweep), sweep_tables.runs(sweep)],
    )  # fmt: skip


def charts(sweep: Sweep) -> Iterator[Chart]:
    """For each parameter what decides, with a line for each combination of the others; then what it costs."""
    for parameter in sweep.vary:
        yield chart(sweep, parameter, sweep.by, f"{sweep.by} against {clean(parameter)}", wide=True)
    first = next(iter(sweep.vary))
    for name, title in _COSTS.items():
        if name != sweep.by:
            yield chart(sweep, first, name, f"{title} against {clean(first)}", wide=False)


def chart(sweep: Sweep, parameter: str, figure: str, title: str, *, wide: bool) -> Chart:
    """One figure against one parameter."""
    id_ = f"{figure}-{list(sweep.vary).index(parameter)}".replace(".", "-")
    values = sweep.vary[parameter]
    known = [value for run in sweep.runs if run.valid and (value := run.figures.get(figure)) is not None]
    if not known:
        return nothing(id_, title, "No valid run has this figure.")
    numeric = _numeric(values)
    scale, unit = byte_scale(max(known)) if dimension(figure) == "bytes" else (1.0, "")
    suffix = {"seconds": "s", "per_second": "/s"}.get(dimension(figure), unit)
    groups: dict[str, list[SweepCell]] = {}
    for cell in sweep.cells:
        others = " ".join(f"{name}={value}" for name, value in cell.values.items() if name != parameter)
        groups.setdefault(others, []).append(cell)
    traces: list[Trace] = []
    for number, (others, cells) in enumerate(list(groups.items())[:_MOST_LINES]):
        color = PALETTE[number % len(PALETTE)]
        name = others or figure
        seen = [(_x(cell.values[parameter], numeric), value / scale) for cell in cells
                if (value := cell.figures.get(figure)) is not None]  # fmt: skip
        if numeric:
            seen.sort()
        means = line(name, [], [y for _, y in seen], color, f"%{{y:.4~g}} {suffix}")
        traces.append(means | {"x": [x for x, _ in seen]})
        traces.append(_dots(sweep, parameter, figure, cells, color, scale, numeric))
    layout: dict[str, Any] = {
        "hovermode": "closest", "xaxis": {"title": {"text": label(parameter)}, "type": "log" if numeric else "category"},
        "yaxis": {"ticksuffix": f" {suffix}" if suffix else "", "rangemode": "tozero"},
        "margin": {"l": 76, "r": 14, "t": 24, "b": 44},
    }  # fmt: skip
    if numeric:
        layout["xaxis"] |= {
            "tickmode": "array",
            "tickvals": [float(v) for v in values],
            "ticktext": [label(v) for v in values],
        }
    caption = "Lines join the means; a dot is a run."
    if figure == sweep.by:
        found = [item for item in sweep.knees if item.parameter == parameter and item.knee is not None]
        traces += [_knee(item, max(known) / scale) for item in found[:_MOST_LINES]]
        caption += " A dashed line is a knee." if found else ""
    if len(groups) > _MOST_LINES:
        caption += f" The first {_MOST_LINES} of {len(groups)} combinations of the others."
    return Chart(id_, title, caption, traces, layout, height=380 if wide else 280, wide=wide)


def _dots(
    sweep: Sweep, parameter: str, figure: str, cells: list[SweepCell], color: str, scale: float, numeric: bool
) -> Trace:
    wanted = [cell.values for cell in cells]
    seen = [
        (_x(run.values[parameter], numeric), value / scale)
        for run in sweep.runs
        if run.valid and run.values in wanted and (value := run.figures.get(figure)) is not None
    ]
    return {
        "type": "scatter", "mode": "markers", "x": [x for x, _ in seen], "y": rounded([y for _, y in seen]),
        "marker": {"color": color, "size": 7}, "hovertemplate": "%{y:.4~g}<extra></extra>",
    }  # fmt: skip


def _knee(item: SweepKnee, top: float) -> Trace:
    assert item.knee is not None
    others = " ".join(f"{name}={value}" for name, value in item.at.items())
    return line(f"knee {others}".strip(), [item.knee.value] * 2, [0.0, top], "--bad", "%{x:.0f}", dash="dash")


def _numeric(values: list[str]) -> bool:
    try:
        return len(values) > 1 and all(float(value) > 0 for value in values)
    except ValueError:
        return False


def _x(value: str, numeric: bool) -> float | str:
    return float(value) if numeric else label(value)
