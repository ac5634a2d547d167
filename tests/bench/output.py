"""What is shown: a table for people, plain text for logs, JSON for programs; in each every figure with unit and noise."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.core.units import format_value
from harness.experiment import machine
from tests.bench import goals
from tests.bench.sheet import Figure
from tests.bench.suite import Outcome, Suite

SCHEMA = "harness.bench/v1"
_HEAD = ("figure", "median", "min", "max", "spread")


def machine_line(load_average: float) -> str:
    """The machine in one line."""
    found = machine.describe()
    return (
        f"{found.cpus} x {found.cpu_model}, {format_value(found.memory_bytes, 'bytes')}, {found.os}, "
        f"kernel {found.kernel}, {found.arch}, load average before {load_average:.2f}"
    )


def render(suite: Suite, console: Console, machine_text: str) -> None:
    """All tables: of rich on a terminal, else plain lines that a log or a diff can hold."""
    console.print(machine_text, highlight=False, soft_wrap=True)
    for outcome in suite.outcomes:
        console.print()
        if console.is_terminal:
            console.print(_table(outcome))
        else:
            for line in _plain(outcome):
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        for line in (outcome.benchmark.method, f"{rounds_of(outcome)}; {outcome.command}", surroundings_of(outcome)):
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True, style="dim")
        for judged in [] if outcome.sheet.skipped else goals.judge(outcome.benchmark.name, outcome.sheet):
            style = {True: "green", False: "red", None: "yellow"}[judged.met]
            console.print(f"  {judged.sentence}", markup=False, highlight=False, soft_wrap=True, style=style)
        if outcome.sheet.skipped is not None:
            console.print(f"  not measured: {outcome.sheet.skipped}", markup=False, highlight=False, soft_wrap=True)
        for problem in outcome.sheet.problems:
            console.print(f"  not complete: {problem}", markup=False, highlight=False, soft_wrap=True, style="red")


def summary_line(suite: Suite, seconds: float) -> str:
    """The last line: whether the work was complete, and one figure of each benchmark."""
    took = format_value(seconds, "seconds")
    problems = suite.problems
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return f"bench: NOT COMPLETE after {took}, exit code {int(suite.exit_code)}: {problems[0]}{more}"
    heads = []
    for outcome in suite.outcomes:
        if outcome.sheet.skipped is not None:
            heads.append(f"{outcome.benchmark.name} not measured")
            continue
        figure = outcome.sheet.figures[outcome.benchmark.headline]
        heads.append(f"{figure.name} {format_value(figure.summary.median, figure.dimension)}")
    judged = [
        each.met
        for outcome in suite.outcomes
        if outcome.sheet.skipped is None
        for each in goals.judge(outcome.benchmark.name, outcome.sheet)
    ]
    told = f"; goals: {judged.count(True)} met, {judged.count(False)} missed" if judged else ""
    if suite.missed:
        return f"bench: GOALS MISSED after {took}, exit code {int(suite.exit_code)}: {'; '.join(suite.missed)}{told}"
    return f"bench: complete in {took}: {'; '.join(heads)}{told}"


def rounds_of(outcome: Outcome) -> str:
    """How many rounds there were, and whether time was all that was missing for more."""
    rounds = outcome.rounds
    text = f"{rounds.begun} of {rounds.wanted} rounds{' (its time was over)' if rounds.out_of_time else ''}"
    return f"{text}, {format_value(outcome.seconds, 'seconds')}"


def surroundings_of(outcome: Outcome) -> str:
    """How far the machine was ours."""
    shares = outcome.shares
    return (
        f"meanwhile other processes used {shares.others:.0%} of the machine's CPU time and its host withheld "
        f"{shares.stolen:.0%}; load average before {outcome.load_before:.2f}"
    )


def as_json(suite: Suite, seconds: float, load_average: float) -> str:
    """The whole suite as one JSON object, values in base units, one a round."""
    document = {
        "schema": SCHEMA,
        "machine": machine.describe().model_dump(mode="json"),
        "versions": machine.versions(),
        "load_average_before": load_average,
        "load_average_after": os.getloadavg()[0],
        "seconds": seconds,
        "complete": not suite.problems,
        "exit_code": int(suite.exit_code),
        "problems": suite.problems,
        "benchmarks": [_benchmark(outcome) for outcome in suite.outcomes],
        "summary": summary_line(suite, seconds),
    }
    return json.dumps(document, indent=1)


def _benchmark(outcome: Outcome) -> dict[str, Any]:
    return {
        "name": outcome.benchmark.name,
        "title": outcome.benchmark.title,
        "method": outcome.benchmark.method,
        "command": outcome.command,
        "rounds": outcome.rounds.begun,
        "rounds_wanted": outcome.rounds.wanted,
        "out_of_time": outcome.rounds.out_of_time,
        "seconds": outcome.seconds,
        "load_average_before": outcome.load_before,
        "cpu_of_others": outcome.shares.others,
        "cpu_stolen": outcome.shares.stolen,
        "problems": outcome.sheet.problems,
        "skipped": outcome.sheet.skipped,
        "goals": [
            {
                "figure": judged.goal.figure,
                "bound": judged.goal.bound,
                "at_least": judged.goal.at_least,
                "met": judged.met,
                "excuse": judged.goal.excuse,
            }
            for judged in goals.judge(outcome.benchmark.name, outcome.sheet)
        ],
        "figures": [_figure(figure) for figure in outcome.sheet.figures.values()],
    }


def _figure(figure: Figure) -> dict[str, Any]:
    summary = figure.summary
    return {
        "name": figure.name,
        "unit": figure.dimension,
        "min": summary.minimum,
        "median": summary.median,
        "max": summary.maximum,
        "spread": summary.spread,
        "values": figure.values,
    }


def _cells(outcome: Outcome) -> Iterator[tuple[str, ...]]:
    for figure in outcome.sheet.figures.values():
        summary = figure.summary
        values = (summary.median, summary.minimum, summary.maximum)
        noise = "" if summary.spread is None or len(figure.values) == 1 else f"{summary.spread:.0%}"
        yield (figure.name, *(format_value(value, figure.dimension) for value in values), noise)


def _table(outcome: Outcome) -> Table:
    table = Table(title=f"{outcome.benchmark.name}: {outcome.benchmark.title}", title_justify="left")
    for index, head in enumerate(_HEAD):
        table.add_column(head, justify="right" if index else "left", no_wrap=bool(index))
    for row in _cells(outcome):
        table.add_row(*row)
    return table


def _plain(outcome: Outcome) -> Iterator[str]:
    rows = [_HEAD, *_cells(outcome)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    yield f"{outcome.benchmark.name}: {outcome.benchmark.title}"
    for row in rows:
        numbers = "  ".join(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True))
        yield f"  {row[0]:<{widths[0]}}  {numbers}".rstrip()
