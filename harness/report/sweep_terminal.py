"""A sweep as a terminal shows it: what to choose and why, the table, the knees."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from harness.core.errors import ExitCode
from harness.record.sweep import Sweep
from harness.report import sweep_tables
from harness.report.capacity_terminal import show
from harness.report.results import clean


def render(sweep: Sweep, console: Console) -> None:
    """Print it."""
    word, style = ("SWEEP", "bold green") if sweep.exit_code == ExitCode.PASSED else ("INCOMPLETE", "bold yellow")
    if sweep.interrupted:
        word = "INTERRUPTED"
    profile = f" · profile {clean(sweep.profile)}" if sweep.profile else ""
    title = f"  {clean(sweep.scenario)}{profile} · by {clean(sweep.by)} · {clean(sweep.experiment_id)}"
    console.print(Text.assemble((word, style), title), soft_wrap=True)
    console.print(Text(f"  {sweep_tables.answer(sweep)}", "bold"), soft_wrap=True)
    for reason in sweep.reasons:
        console.print(Text(f"  - {clean(reason)}"), soft_wrap=True)
    for table in (sweep_tables.cells(sweep), sweep_tables.knees(sweep)):
        show(console, table)
    if sweep.warnings:
        console.print(Text("\nWarnings", "bold"))
        for warning in sweep.warnings:
            console.print(Text(f"  - {clean(warning)}"), soft_wrap=True)
