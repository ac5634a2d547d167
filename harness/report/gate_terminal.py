"""A gate as a terminal shows it: the verdict, why, the metrics that decide, what is to blame, then all others."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness.core import metrics
from harness.core.units import format_value
from harness.record.gate import Effect, Gate, GateVerdict, Primary
from harness.report import aligned
from harness.report.results import clean, value_text

STYLES: dict[GateVerdict, str] = {
    "pass": "bold green",
    "improve": "bold green",
    "regress": "bold red",
    "inconclusive": "bold yellow",
}
_NONE = "–"
BETTER = {"lower": "less", "higher": "more", "none": _NONE}
_LEAST_SHOWN = 0.0005


def render(gate: Gate, console: Console, *, every: bool = False) -> None:
    """Print a gate. Of the secondary metrics those whose interval leaves 0 out, or all of them with `every`."""
    head = Text()
    head.append(gate.verdict.upper(), STYLES[gate.verdict])
    if gate.advisory:
        head.append(" (advice only)", "bold yellow")
    profile = f" · profile {gate.profile}" if gate.profile else ""
    head.append(f"  {clean(gate.scenario)}{profile} · {clean(gate.experiment_id)}")
    _print(console, head)
    _print(console, Text(f"  baseline   {clean(gate.baseline.words)}"))
    _print(console, Text(f"  candidate  {clean(gate.candidate.words)}"))
    for reason in gate.reasons:
        _print(console, Text(f"  - {clean(reason)}"))
    _primary(console, gate)
    if gate.blame:
        _heading(console, "Blame: what grew, most first")
        for item in gate.blame:
            _print(console, Text(f"  {item.rank:>2}  {item.kind:<10} {clean(item.sentence)}"))
    _secondary(console, gate.secondary, every=every)
    _environment(console, gate)
    if gate.warnings:
        _heading(console, "Warnings")
        for warning in gate.warnings:
            _print(console, Text(f"  - {clean(warning)}"))


def effect_text(line: Effect, effect: float | None) -> str:
    """An effect with its sign: `+3.1 %`, or `+12.0 KiB`."""
    if effect is None:
        return _NONE
    if line.scale == "relative":
        return f"{effect * 100:+.1f} %"
    return f"{'+' if effect >= 0 else '-'}{format_value(abs(effect), metrics.resolve(line.metric).metric.dimension)}"


def interval_text(line: Effect) -> str:
    """The interval as text; `–` where there are no repeats."""
    return _NONE if line.low is None else f"{effect_text(line, line.low)} … {effect_text(line, line.high)}"


def p_text(p: float | None) -> str:
    """A p-value to two digits."""
    return _NONE if p is None else f"{p:.2g}"


def _primary(console: Console, gate: Gate) -> None:
    look = gate.looks[-1] if gate.looks else None
    confidence = next((line.confidence for line in gate.primary if line.confidence), None)
    after = f", {look.pairs} pairs" if look else ""
    early = ", ended early" if gate.stopped_early else ""
    _heading(console, f"What decides ({_sides(confidence)}{after}{early})")
    heads = ("metric", "", "baseline", "candidate", "effect", "interval", "too much", "p worse", "p within", "MDE")
    rows = [
        (
            clean(line.metric), Text(line.verdict, STYLES[line.verdict]), value_text(line.baseline, line.unit),
            value_text(line.candidate, line.unit), effect_text(line, line.effect), interval_text(line),
            line.threshold_text, p_text(line.p_regress_holm), p_text(line.p_pass), _mde(line),
        )
        for line in gate.primary
    ]  # fmt: skip
    aligned.table(console, heads, rows, left=("",))


def _mde(line: Primary) -> str:
    return _NONE if line.mde is None else effect_text(line, line.mde).lstrip("+")


def _secondary(console: Console, lines: Sequence[Effect], *, every: bool) -> None:
    clear = [line for line in lines if moved(line)]
    shown = list(lines) if every else clear
    if not lines:
        return
    left = "" if every else f" that moved: {len(shown)} of {len(lines)}; all are in gate.json"
    _heading(console, f"Other metrics{left} (each on its own, nothing adjusted: of many some move by chance)")
    if not shown:
        return
    heads = ("metric", "baseline", "candidate", "effect", "interval", "better")
    rows = [
        (
            clean(line.metric), value_text(line.baseline, line.unit), value_text(line.candidate, line.unit),
            effect_text(line, line.effect), interval_text(line), BETTER[line.direction],
        )
        for line in shown
    ]  # fmt: skip
    aligned.table(console, heads, rows)


def moved(line: Effect) -> bool:
    """Whether the interval leaves 0 out, and by more than would be shown as nothing."""
    if line.low is None or line.high is None or line.low * line.high <= 0:
        return False
    return line.scale == "absolute" or min(abs(line.low), abs(line.high)) >= _LEAST_SHOWN


def _environment(console: Console, gate: Gate) -> None:
    if not gate.environment.differences:
        return
    _heading(console, "The environments differ")
    for item in gate.environment.differences:
        _print(console, Text(f"  - {clean(item.what)}: {clean(item.baseline)} -> {clean(item.candidate)}"))


def _sides(confidence: float | None) -> str:
    return "no interval" if confidence is None else f"intervals of {confidence * 100:.3g} %"


def _heading(console: Console, title: str) -> None:
    _print(console, Text())
    _print(console, Text(title, "bold"))


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
