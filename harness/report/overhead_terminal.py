"""What looking costs, as a table; every figure with its noise, every goal beside what was measured."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.analysis.overhead import FIGURES, HARNESS_MEMORY, IDLE, PER_EVENT, SUBJECT_IDLE, SUBJECT_MEMORY
from harness.core.units import Dimension, format_value
from harness.record.overhead import Cost, GoalResult, Overhead, Spread, Unit

_DIMENSIONS: dict[Unit, Dimension] = {"B": "bytes", "s": "seconds", "ratio": "ratio"}
_SHARES = (IDLE, SUBJECT_IDLE)
"""Of a core, added; the other ratios are of one side to the other."""
_ADDED = (*_SHARES, PER_EVENT, HARNESS_MEMORY, SUBJECT_MEMORY)


def render(found: Overhead, console: Console) -> None:
    """Tables, goals, and how far the machine was its own."""
    console.print(Text(f"The work: {found.work}."), soft_wrap=True)
    console.print(
        Text(f"{found.runs} runs, {found.pairs} rounds; each cell: median, and below it smallest to largest pair.")
    )
    for against in dict.fromkeys(cost.against for cost in found.costs):
        console.print(_table(against, [cost for cost in found.costs if cost.against == against]))
    console.print(Text("\nGoals", style="bold"))
    for goal in found.goals:
        console.print(Text(f"  {_judged(goal)}"), soft_wrap=True)
    if found.busy is not None:
        console.print(Text(f"\nOther programs and the machine's host took {found.busy:.0%} of its CPU time meanwhile."))
    for problem in found.problems:
        console.print(Text(f"  - {problem}"), soft_wrap=True)


def _table(against: str, rows: list[Cost]) -> Table:
    figures = [name for name in FIGURES if any(name in cost.figures for cost in rows)]
    table = Table(box=None, pad_edge=False, title=f"\nCompared with runs of {against}", title_justify="left")
    table.add_column("")
    for figure in figures:
        table.add_column(figure, justify="right", overflow="fold")
    table.add_column("pairs", justify="right")
    for cost in rows:
        cells = [_cell(figure, cost.figures[figure]) if figure in cost.figures else "–" for figure in figures]
        table.add_row(cost.name, *cells, str(cost.pairs))
    return table


def _cell(figure: str, spread: Spread) -> str:
    median, low, high = (_value(value, spread.unit, figure) for value in (spread.median, spread.low, spread.high))
    return f"{median}\n{low} to {high}"


def _judged(goal: GoalResult) -> str:
    asked = f"{'at least' if goal.at_least else 'at most'} {_value(goal.bound, goal.unit, goal.figure)}"
    if goal.measured is None:
        return f"not measured  {goal.words}: {asked}"
    state = "met   " if goal.met else "MISSED"
    unclear = "" if goal.clear else "; the pairs disagree"
    median, low, high = (
        _value(value, goal.unit, goal.figure) for value in (goal.measured.median, goal.measured.low, goal.measured.high)
    )
    return f"{state}  {goal.words}: {median} ({low} to {high}), {asked}{unclear}"


def _value(value: float, unit: Unit, figure: str) -> str:
    sign = "+" if figure in _ADDED and value > 0 else ""
    if figure in _SHARES:
        return f"{sign}{value * 100:.2f}%"
    return f"{value:.2f}x" if unit == "ratio" else f"{sign}{format_value(value, _DIMENSIONS[unit])}"
