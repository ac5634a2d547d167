"""Capacity as a terminal shows it: the sentence, what an object takes, the boundary, the lines behind it."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.core.errors import ExitCode
from harness.record.capacity import Capacity
from harness.report import aligned, capacity_tables
from harness.report.results import clean
from harness.report.tables import Table

_HEADS = {
    int(ExitCode.PASSED): ("CAPACITY", "bold green"),
    int(ExitCode.FAILED): ("DOES NOT FIT", "bold red"),
    int(ExitCode.INVALID): ("NO ANSWER", "bold yellow"),
    int(ExitCode.INTERRUPTED): ("INTERRUPTED", "bold yellow"),
}


def render(result: Capacity, console: Console) -> None:
    """Print it."""
    word, style = _HEADS.get(result.exit_code, ("CAPACITY", "bold"))
    profile = f" · profile {clean(result.profile)}" if result.profile else ""
    title = f"  {clean(result.scenario)}{profile} · {clean(result.experiment_id)}"
    console.print(Text.assemble((word, style), title), soft_wrap=True)
    _line(console, f"  {clean(result.sentence)}", "bold")
    for reason in result.reasons:
        _line(console, f"  - {clean(reason)}")
    for said in [*capacity_tables.per_object(result), result.gomemlimit.sentence]:
        _line(console, f"  {clean(said)}")
    for table in (capacity_tables.boundaries(result), capacity_tables.needs(result), capacity_tables.fits(result)):
        show(console, table)
    if result.warnings:
        _line(console, "\nWarnings", "bold")
        for warning in result.warnings:
            _line(console, f"  - {clean(warning)}")


def show(console: Console, table: Table) -> None:
    """A table with its title; nothing where it has no rows."""
    if not table.rows:
        return
    note = f" ({table.note})" if table.note else ""
    _line(console, f"\n{table.title}{note}", "bold")
    left = [head for number, head in enumerate(table.headers) if number not in table.numbers]
    aligned.table(console, table.headers, table.rows, left=left)


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True)
