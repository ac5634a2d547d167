"""What `tests.bench.growth` shows: tables for people, a page with plots, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table as RichTable

from harness.core.errors import ExitCode
from harness.core.units import Dimension, format_value
from harness.experiment import machine
from harness.report import series_page
from harness.report.figures import PALETTE, Chart, line
from harness.report.tables import Table
from tests.bench.output import machine_line

if TYPE_CHECKING:
    from tests.bench.growth import Grown, Point

SCHEMA = "harness.bench-growth/v1"


@dataclass(frozen=True, slots=True)
class Told:
    """Everything there is to show."""

    grown: list[Grown]
    constant: list[str]
    """Benchmarks without an amount of work."""
    seconds: float
    load_average: float
    cap_s: float

    @property
    def problems(self) -> list[str]:
        """Work that was begun and not complete."""
        return [
            f"{point.factor}x {problem}" for each in self.grown for point in each.points for problem in point.problems
        ]

    @property
    def left_out(self) -> list[str]:
        """Points without figures, and why."""
        return [
            f"{each.name} {point.factor}x ({point.amount:,} {each.of}) is left out: {point.left_out}"
            for each in self.grown
            for point in each.points
            if point.left_out
        ]

    @property
    def exit_code(self) -> ExitCode:
        """0, or 3 where some work was not complete."""
        return ExitCode.INVALID if self.problems else ExitCode.PASSED

    @property
    def summary(self) -> str:
        """The last line."""
        points = [point for each in self.grown for point in each.points]
        measured = sum(bool(point.figures) for point in points)
        state = "NOT COMPLETE" if self.problems else "complete"
        return (
            f"bench-growth: {state} in {format_value(self.seconds, 'seconds')}: {measured} of {len(points)} points, "
            f"{len(self.left_out)} left out"
        )


def render(told: Told, console: Console, page_at: Path | None) -> None:
    """A table for each benchmark."""
    console.print(machine_line(told.load_average), highlight=False, soft_wrap=True)
    for each in told.grown:
        console.print()
        table = RichTable(title=_title(each), title_justify="left")
        for index, head in enumerate(_heads(each)):
            table.add_column(head, justify="right" if index else "left", no_wrap=bool(index))
        for row in _rows(each):
            table.add_row(*row)
        console.print(table)
    console.print()
    for text in _notes(told):
        console.print(text, markup=False, highlight=False, soft_wrap=True)
    if page_at is not None:
        console.print(f"plots: {page_at}", markup=False, highlight=False, soft_wrap=True)
    console.print(told.summary, markup=False, highlight=False, soft_wrap=True)


def page(told: Told) -> str:
    """The same with plots, self-contained."""
    return series_page.render(
        title="How the harness's own figures grow",
        about=machine_line(told.load_average),
        answer=told.summary,
        said=["Each line is a figure, relative to what it was with the least work; both axes are logarithmic."],
        warnings=_notes(told),
        charts=[_chart(each) for each in told.grown if any(point.figures for point in each.points)],
        tables=[
            Table(_title(each), tuple(_heads(each)), list(_rows(each)), tuple(range(1, len(_heads(each)))), each.method)
            for each in told.grown
        ],
    )


def as_json(told: Told) -> str:
    """One JSON object; values in base units."""
    document = {
        "schema": SCHEMA,
        "machine": machine.describe().model_dump(mode="json"),
        "versions": machine.versions(),
        "load_average_before": told.load_average,
        "seconds": told.seconds,
        "cap_seconds": told.cap_s,
        "complete": not told.problems,
        "exit_code": int(told.exit_code),
        "problems": told.problems,
        "left_out": told.left_out,
        "without_growth": told.constant,
        "benchmarks": [_benchmark(each) for each in told.grown],
        "summary": told.summary,
    }
    return json.dumps(document, indent=1)


def _benchmark(each: Grown) -> dict[str, Any]:
    return {
        "name": each.name,
        "work": each.of,
        "method": each.method,
        "points": [
            {
                "factor": point.factor,
                "amount": point.amount,
                "seconds": point.seconds,
                "left_out": point.left_out,
                "problems": point.problems,
                "figures": point.figures,
            }
            for point in each.points
        ],
        "figures": [
            {"name": name, "unit": dimension, "exponent": each.exponent(name)}
            for name, dimension in each.dimensions.items()
        ],
    }


def _title(each: Grown) -> str:
    return f"{each.name}: by {each.of}"


def _heads(each: Grown) -> list[str]:
    return ["figure", *(f"{point.factor}x: {point.amount:,}" for point in each.points), "grows as"]


def _rows(each: Grown) -> Iterator[list[str]]:
    for name, dimension in each.dimensions.items():
        exponent = each.exponent(name)
        cells = [_cell(point, name, dimension) for point in each.points]
        yield [name, *cells, "" if exponent is None else f"n^{exponent:.2f}"]
    seconds = [format_value(point.seconds, "seconds") if point.figures else _nothing(point) for point in each.points]
    yield ["the whole point", *seconds, ""]


def _cell(point: Point, name: str, dimension: Dimension) -> str:
    return format_value(point.figures[name], dimension) if name in point.figures else _nothing(point)


def _nothing(point: Point) -> str:
    return "left out" if point.left_out else "-"


def _notes(told: Told) -> list[str]:
    notes = [f"not complete: {problem}" for problem in told.problems] + told.left_out
    if told.constant:
        notes.append(f"no amount of work to grow: {', '.join(told.constant)}")
    return notes


def _chart(each: Grown) -> Chart:
    traces = []
    for number, name in enumerate(each.dimensions):
        points = [(point.amount, point.figures[name]) for point in each.points if point.figures.get(name)]
        if len(points) < 2 or points[0][1] <= 0:
            continue
        relative = [value / points[0][1] for _, value in points]
        amounts = [float(amount) for amount, _ in points]
        traces.append(
            line(name, amounts, relative, PALETTE[number % len(PALETTE)], "%{y:.3g} x at %{x:,}", mode="lines+markers")
        )
    if not traces:
        return Chart(f"growth-{each.name}", _title(each), missing="Only one point was measured.")
    layout = {
        "xaxis": {"type": "log", "title": {"text": each.of}},
        "yaxis": {"type": "log", "title": {"text": "relative"}},
    }
    return Chart(f"growth-{each.name}", _title(each), each.method, traces, layout, height=340)
