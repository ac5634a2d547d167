"""What the harness is to reach, and whether a measurement says that it does. The median of the rounds counts."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.core.units import format_value
from tests.bench import creates, history, memory, overhead, peers, reports
from tests.bench.sheet import Figure, Sheet


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one figure of a benchmark."""

    figure: str
    at_least: bool
    bound: float
    excuse: str | None = None
    """Why a miss is told and does not count; None: it counts, and makes the exit code 1."""

    @property
    def _holds(self) -> Callable[[float, float], bool]:
        return operator.ge if self.at_least else operator.le


GOALS: dict[str, Sequence[Goal]] = {
    creates.CreatesBenchmark.name: (
        Goal(creates.RATIO, at_least=True, bound=0.9),
        Goal(creates.CPU_PER_CREATE, at_least=False, bound=0.35e-3, excuse="the bare loop takes more, too"),
    ),
    peers.KubeBurnerBenchmark.name: (
        Goal(peers.RATE, at_least=True, bound=4.0),
        Goal(peers.CPU, at_least=False, bound=0.25),
        Goal(peers.MEMORY, at_least=False, bound=0.25),
    ),
    memory.MemoryBenchmark.name: (Goal(memory.PEAK, at_least=False, bound=150e6),),
    overhead.OverheadBenchmark.name: (Goal(overhead.FIRST, at_least=False, bound=3.0),),
    reports.ReportBenchmark.name: (
        Goal(reports.TIME, at_least=False, bound=10.0),
        Goal(reports.PEAK, at_least=False, bound=500e6),
    ),
    history.HistoryBenchmark.name: (
        Goal(history.QUERY, at_least=False, bound=1.0),
        Goal(history.RUNS_QUERY, at_least=False, bound=1.0),
    ),
}
"""By benchmark."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal and what came of it; `met` None: the figure was not measured."""

    goal: Goal
    met: bool | None
    sentence: str


def judge(benchmark: str, sheet: Sheet) -> list[Judged]:
    """Every goal of a benchmark."""
    return [_judge(goal, sheet.figures.get(goal.figure)) for goal in GOALS.get(benchmark, ())]


def _judge(goal: Goal, figure: Figure | None) -> Judged:
    word = "at least" if goal.at_least else "at most"
    if figure is None:
        return Judged(goal, None, f"goal not measured: {goal.figure}")
    median = figure.summary.median
    met = goal._holds(median, goal.bound)
    asked = f"{word} {format_value(goal.bound, figure.dimension)}"
    return Judged(
        goal,
        met,
        f"goal {'met' if met else 'MISSED'}: {goal.figure} {format_value(median, figure.dimension)}, {asked}"
        f"{f' (does not count: {goal.excuse})' if goal.excuse and not met else ''}",
    )
