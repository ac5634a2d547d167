"""Two runs or groups of runs side by side, for a page: their curves in one chart, and every metric."""

from __future__ import annotations

from collections.abc import Sequence

from harness.record.comparison import ComparedMetric, Comparison
from harness.record.reader import RunRecord
from harness.report import data
from harness.report.figures import Chart, Trace, byte_scale, line, nothing
from harness.report.gate_terminal import BETTER, effect_text, interval_text
from harness.report.results import NONE, clean, value_text
from harness.report.tables import Table

_CURVES = (
    ("memory.cgroup", "Memory charged to the cgroup"),
    ("memory.rss", "Resident memory"),
    ("tasks", "Tasks"),
    ("queue.depth", "Queue"),
)
_COLORS = ("--c1", "--c2")
REPEATS = {
    "pairs": "interleaved pairs: each run against its neighbour",
    "groups": "runs that were not made in pairs: what else differed between them is in the differences too",
    "none": "one run against one run: a difference may be chance",
}


def charts(a: RunRecord, b: RunRecord) -> list[Chart]:
    """What both did over their own time, one curve each; of groups these are their first runs."""
    return [_chart(f"both-{number}", title, metric, (a, b)) for number, (metric, title) in enumerate(_CURVES)]


def _chart(id_: str, title: str, metric: str, records: Sequence[RunRecord]) -> Chart:
    found = [next((s for s in data.series(record, (metric,)) if not s.labels), None) for record in records]
    drawn = [(name, s, color) for name, s, color in zip("AB", found, _COLORS, strict=True) if s is not None]
    if not drawn:
        return nothing(id_, title, f"Neither record holds {metric}.")
    scale, unit = byte_scale(max(s.peak for _, s, _ in drawn)) if metric.startswith("memory.") else (1.0, "")
    traces: list[Trace] = [
        line(f"{name}: {record.run.run_id}", s.t_s, [None if v is None else v / scale for v in s.values], color,
             f"%{{y:,.4~g}} {unit}")
        for (name, s, color), record in zip(drawn, [r for r, s in zip(records, found, strict=True) if s], strict=True)
    ]  # fmt: skip
    caption = "Each over the seconds of its own run." + ("" if len(drawn) == 2 else " The other has no such series.")
    layout = {
        "yaxis": {"rangemode": "tozero", "ticksuffix": f" {unit}" if unit else ""}, "xaxis": {"ticksuffix": " s"},
        "margin": {"l": 76, "r": 14, "t": 14, "b": 30},
    }  # fmt: skip
    return Chart(id_, title, caption, traces, layout)


def environment(found: Comparison) -> Table:
    """In what the two were measured differently."""
    rows = [[clean(item.what), clean(item.baseline), clean(item.candidate)] for item in found.differences]
    return Table("In what the environments differ", ["what", "A", "B"], rows)


def metrics(found: Comparison) -> Table:
    """Every metric that both have."""
    confidence = next((each.confidence for each in found.metrics if each.confidence), None)
    interval = "interval" if confidence is None else f"interval ({confidence * 100:.3g} %)"
    rows = [_row(each) for each in found.metrics if each.effect is not None]
    heads = ["metric", "A", "B", "B against A", interval, "p", "better"]
    return Table("Every metric", heads, rows, (1, 2, 3, 4, 5), "It informs and decides nothing: harness gate does.")


def missing(found: Comparison) -> Table:
    """What cannot be compared, and why."""
    rows = [[clean(each.metric), clean(each.reason or "no value")] for each in found.metrics if each.effect is None]
    return Table("Nothing to compare", ["metric", "why"], rows)


def _row(each: ComparedMetric) -> list[str]:
    p = NONE if each.low is None or each.p_difference is None else f"{each.p_difference:.2g}"
    return [
        clean(each.metric), value_text(each.baseline, each.unit), value_text(each.candidate, each.unit),
        effect_text(each, each.effect), interval_text(each), p, BETTER[each.direction],
    ]  # fmt: skip
