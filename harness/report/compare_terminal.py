"""A comparison as a terminal shows it: the differing environments first, then every metric."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.record.comparison import ComparedMetric, Comparison
from harness.report import aligned
from harness.report.gate_terminal import BETTER, effect_text, interval_text
from harness.report.results import clean, value_text

_REPEATS = {
    "pairs": "interleaved pairs: each run against its neighbour",
    "groups": "runs that were not made in pairs: what else differed between them is in the differences too",
    "none": "too few runs for an interval: a difference may be chance",
}
_ELSEWHERE = "other machine"


def render(found: Comparison, console: Console) -> None:
    """Print a comparison. Where the sides come from different machines every line says so."""
    _line(console, Text.assemble(("A", "bold"), f"  {clean(found.a.words)}  ({_runs(found.a.runs)})"))
    _line(console, Text.assemble(("B", "bold"), f"  {clean(found.b.words)}  ({_runs(found.b.runs)})"))
    _line(console, Text(f"  {_REPEATS[found.repeats]}"))
    for text in [*found.warnings, *(f"left out: {each}" for each in [*found.a.left_out, *found.b.left_out])]:
        _line(console, Text(f"  - {clean(text)}", "yellow"))
    console.print()
    if found.differences:
        _line(console, Text("The environments differ", "bold"))
        for item in found.differences:
            _line(console, Text(f"  - {clean(item.what)}: {clean(item.baseline)} -> {clean(item.candidate)}"))
    else:
        _line(console, Text("The environments are the same"))
    console.print()
    confidence = next((line.confidence for line in found.metrics if line.confidence), None)
    interval = "interval" if confidence is None else f"interval ({confidence * 100:.3g} %)"
    lines = [line for line in found.metrics if line.effect is not None]
    heads = ("metric", "A", "B", "B against A", interval, "p", "better", "")
    aligned.table(console, heads, [_row(line) for line in lines], left=("",))
    if found.sites:
        console.print()
        _line(console, Text("Holds more in B, by allocation site", "bold"))
        for site in found.sites:
            _line(console, Text(f"  {site.rank}. {clean(site.sentence)}"))
            if site.callers:
                _line(console, Text(f"     called by {clean(' <- '.join(site.callers))}", "dim"))
    if missing := [line for line in found.metrics if line.effect is None]:
        console.print()
        _line(console, Text("Nothing to compare", "bold"))
        for line in missing:
            elsewhere = f" ({_ELSEWHERE})" if line.across_machines else ""
            _line(console, Text(f"  - {clean(line.metric)}: {clean(line.reason or 'no value')}{elsewhere}"))


def _row(line: ComparedMetric) -> list[str]:
    p = "–" if line.low is None or line.p_difference is None else f"{line.p_difference:.2g}"
    return [
        clean(line.metric), value_text(line.baseline, line.unit), value_text(line.candidate, line.unit),
        effect_text(line, line.effect), interval_text(line), p, BETTER[line.direction],
        _ELSEWHERE if line.across_machines else "",
    ]  # fmt: skip


def _runs(ids: list[str]) -> str:
    shown = ", ".join(ids[:2])
    return shown if len(ids) <= 2 else f"{len(ids)} runs: {shown}, …"


def _line(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
