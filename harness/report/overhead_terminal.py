"""What looking costs, as a table; every figure with its noise, every goal beside what was measured."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.overhead import IDLE, PER_EVENT, SUBJECT_IDLE
from harness.core.units import Dimension, format_value
from harness.record.overhead import Overhead, Spread, Unit

_DIMENSIONS: dict[Unit, Dimension] = {"B": "bytes", "s": "seconds", "ratio": "ratio"}
_DIFFERENCES = (IDLE, SUBJECT_IDLE)
"""Shares of a core that were added; the other ratios are of one side to the other."""


def render(found: Overhead, console: Console) -> None:
    """Table, goals, and how far the machine was its own."""
    console.print(Text(f"The work: {found.work}."))
    console.print(
        Text(f"{found.runs} runs in {found.pairs} rounds; each cell: median (smallest to largest) of the pairs.")
    )
    for against in dict.fromkeys(cost.against for cost in found.costs):
        table = Table(box=None, pad_edge=False, title=f"\nagainst runs with {against}", title_justify="left")
        rows = [cost for cost in found.costs if cost.against == against]
        figures = list(dict.fromkeys(name for cost in rows for name in cost.figures))
        table.add_column("", overflow="fold")
        for cost in rows:
            table.add_column(cost.name, justify="right", overflow="fold")
        for figure in figures:
            cells = [_cell(figure, cost.figures[figure]) if figure in cost.figures else "–" for cost in rows]
            table.add_row(figure, *cells)
        table.add_row("pairs", *(str(cost.pairs) for cost in rows))
        console.print(table)
    console.print(Text("\nGoals", style="bold"))
    for goal in found.goals:
        word = "at least" if goal.at_least else "at most"
        asked = f"{word} {_value(goal.words, goal.bound, goal.unit, share='idle' in goal.words)}"
        if goal.measured is None:
            console.print(Text(f"  not measured  {goal.words}: {asked}"))
            continue
        state = "met   " if goal.met else "MISSED"
        unclear = "" if goal.clear else "; the pairs disagree"
        measured = _spread(goal.measured, share="idle" in goal.words)
        console.print(Text(f"  {state}  {goal.words}: {measured}, {asked}{unclear}"), soft_wrap=True)
    if found.busy is not None:
        console.print(Text(f"\nOther programs and the machine's host took {found.busy:.0%} of its CPU time meanwhile."))
    for problem in found.problems:
        console.print(Text(f"  - does not count: {problem}"), soft_wrap=True)


def _cell(figure: str, spread: Spread) -> str:
    if figure in _DIFFERENCES:
        return _spread(spread, share=True)
    return _spread(spread, signed=figure == PER_EVENT or spread.unit == "B")


def _spread(spread: Spread, *, share: bool = False, signed: bool = False) -> str:
    low, median, high = (
        _value("", value, spread.unit, share=share, signed=signed) for value in (spread.low, spread.median, spread.high)
    )
    return f"{median} ({low} to {high})"


def _value(_: str, value: float, unit: Unit, *, share: bool = False, signed: bool = False) -> str:
    if unit == "ratio":
        return f"{value * 100:+.2f}%" if share else f"{value:.2f}x"
    text = format_value(value, _DIMENSIONS[unit])
    return f"+{text}" if signed and value > 0 else text
