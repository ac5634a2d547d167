"""A sweep as tables, which terminal and page share."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core import metrics
from harness.core.units import Dimension, format_value
from harness.record.capacity import Interval
from harness.record.sweep import Sweep, SweepCell
from harness.report.results import NONE, clean
from harness.report.tables import Table

_HEADS = {
    "throughput": "throughput", "writes.conflict": "conflicts", "queue.depth.max": "queue, most", "tasks.peak": "tasks, most",
    "memory.rss.peak": "memory, peak", "cpu.total": "CPU", "writes.total": "writes", "reconciles.total": "reconciles",
    "conflicts.per_reconcile": "conflicts per reconcile",
}  # fmt: skip


def dimension(name: str) -> Dimension:
    """Of a figure of a run."""
    return "per_second" if name == "throughput" else metrics.resolve(name).metric.dimension


def text(name: str, value: float | None) -> str:
    """A figure with its unit."""
    return NONE if value is None else format_value(value, dimension(name))


def answer(sweep: Sweep) -> str:
    """What to choose, in a sentence."""
    if sweep.recommended is None:
        return "nothing can be recommended"
    return "choose " + " ".join(f"{clean(name)}={clean(value)}" for name, value in sweep.recommended.items())


def cells(sweep: Sweep) -> Table:
    """One row per combination; the recommended one is marked."""
    names = _names(sweep)
    headers = ["", *map(clean, sweep.vary), "runs", *(_HEADS.get(name, name) for name in names)]
    rows = [
        [
            "*" if cell.values == sweep.recommended else "", *(clean(cell.values[name]) for name in sweep.vary),
            str(cell.runs), *(text(name, cell.figures.get(name)) for name in names),
        ]
        for cell in sweep.cells
    ]  # fmt: skip
    return Table(
        "Every combination", headers, rows, tuple(range(1, len(headers))), "means over its valid runs; * recommended"
    )


def _names(sweep: Sweep) -> list[str]:
    """Figures that some cell has, what decides first."""
    found = dict.fromkeys(name for cell in sweep.cells for name in cell.figures if _known(sweep.cells, name))
    return list(dict.fromkeys([sweep.by, *found]))


def _known(of: Sequence[SweepCell], name: str) -> bool:
    return any(cell.figures.get(name) is not None for cell in of)


def knees(sweep: Sweep) -> Table:
    """Each knee, or why there is none."""
    rows = [
        [
            clean(item.parameter), " ".join(f"{clean(n)}={clean(v)}" for n, v in item.at.items()), _interval(item.knee),
            text(sweep.by, item.top), "" if item.knee else clean(item.sentence),
        ]
        for item in sweep.knees
    ]  # fmt: skip
    return Table("Knees", ["parameter", "at", "knee", "reached there", ""], rows, (2, 3), "95 % intervals")


def _interval(found: Interval | None) -> str:
    if found is None or found.low is None or found.high is None:
        return NONE
    return f"{found.value:,.0f} ({found.low:,.0f} to {found.high:,.0f})"


def runs(sweep: Sweep) -> Table:
    """Every run."""
    rows = [
        [
            clean(run.run_id), *(clean(run.values[name]) for name in sweep.vary), text(sweep.by, run.figures.get(sweep.by)),
            clean(run.reason or ""),
        ]
        for run in sweep.runs
    ]  # fmt: skip
    headers = ["run", *map(clean, sweep.vary), _HEADS.get(sweep.by, sweep.by), ""]
    return Table("Every run", headers, rows, tuple(range(1, len(headers) - 1)))
