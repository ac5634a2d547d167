"""The page of a series of runs (capacity, sweep): an answer, sentences, charts and tables, made like the report of a run."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report import html
from harness.report.figures import Chart, Timeline
from harness.report.results import clean
from harness.report.tables import Table


def render(
    *, title: str, about: str, answer: str, said: Sequence[str], warnings: Sequence[str], charts: Sequence[Chart],
    tables: Sequence[Table],
) -> str:  # fmt: skip
    """The page as text."""
    return html.assemble(
        "series.html.j2", Timeline(0.0, [], []), charts, title=clean(title), about=clean(about), answer=clean(answer),
        said=[clean(line) for line in said], warnings=[clean(line) for line in warnings], charts=charts,
        tables=[table for table in tables if table.rows],
    )  # fmt: skip
