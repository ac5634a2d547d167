"""A self-test of the gate as a terminal shows it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.core.units import format_value
from harness.record.selftest import AlarmRate, SelfTest
from harness.report import aligned
from harness.report.gate_terminal import STYLES, effect_text, interval_text
from harness.report.results import clean

_MOST_INVALID = 5


def render(result: SelfTest, console: Console) -> None:
    """Print a self-test: the word, why, then rates and effects of each condition."""
    word = "INTERRUPTED" if result.interrupted else "OK" if result.ok else "FAILED"
    head = Text(word, "bold green" if result.ok else "bold red")
    head.append(f"  self-test of the gate, {result.profile} · {result.experiment_id}", "default")
    console.print(head, soft_wrap=True)
    per_run = "" if result.seconds_per_run is None else f" of {format_value(result.seconds_per_run, 'seconds')}"
    console.print(Text(f"  {result.runs} runs{per_run} on {clean(result.machine)}"), soft_wrap=True)
    for reason in result.reasons:
        console.print(Text(f"  - {clean(reason)}"), soft_wrap=True)
    _rates(result, console)
    _effects(result, console)
    invalid = [f"{each.name}: {line}" for each in result.conditions for line in each.invalid]
    for line in invalid[:_MOST_INVALID]:
        console.print(Text(f"  not valid: {clean(line)}"), soft_wrap=True)


def _rates(result: SelfTest, console: Console) -> None:
    console.print()
    console.print(Text(f"Alarms in gates of {result.pairs_per_gate} pairs, one primary metric each", "bold"))
    heads = ("condition", "", "pairs", "metric", "too much", "alarms", "95 % interval", "experiments", "first gate")
    rows: list[list[aligned.Cell]] = []
    for condition in result.conditions:
        first: list[aligned.Cell] = [condition.name, _word(ok=condition.ok), str(condition.pairs)]
        for rate in condition.rates:
            verdict = condition.verdicts[f"{rate.metric} {rate.threshold}"]
            rows.append([
                *first, rate.metric, rate.threshold, f"{rate.share:.1%}", f"{rate.low:.1%} … {rate.high:.1%}",
                _experiments(rate), Text(verdict, STYLES[verdict]),
            ])  # fmt: skip
            first = ["", "", ""]
        if not condition.rates:
            rows.append([*first, *[""] * (len(heads) - len(first))])
    aligned.table(console, heads, rows, left=("", "metric"))


def _effects(result: SelfTest, console: Console) -> None:
    console.print()
    console.print(Text("What was measured, over all pairs", "bold"))
    rows = [
        (
            condition.name, line.metric, effect_text(line, line.effect), interval_text(line),
            "–" if line.noise is None else effect_text(line, line.noise).lstrip("+"),
        )
        for condition in result.conditions
        for line in condition.effects
    ]  # fmt: skip
    aligned.table(console, ("condition", "metric", "effect", "interval", "noise of a pair"), rows, left=("metric",))


def _experiments(rate: AlarmRate) -> str:
    """How many independent experiments the share stands for, and how many overlapping ones were drawn to find it."""
    return "1" if rate.drawn == 1 else f"{rate.experiments:.2g} ({rate.drawn} drawn)"


def _word(*, ok: bool) -> Text:
    return Text("ok", "green") if ok else Text("FAILED", "bold red")
