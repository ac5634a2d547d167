"""`harness show`: what a run was and what came of it, from its record."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from harness.analysis.verdict import judge, stored_or_judged
from harness.cli import completing, run_options
from harness.cli.console import CliConsole
from harness.record.reader import RunRecord
from harness.report import terminal


def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            autocompletion=completing.runs,
            help="A run id, the unique start or end of one, or the path of a record.",
        ),
    ],
    json: Annotated[bool, typer.Option("--json", help="One JSON object (schema harness.show/v1).")] = False,
    out: run_options.Records = None,
) -> None:
    """Show a run. Exits 0 if the record is readable, whatever its verdict.

    Example: harness show k4x7q --json
    """
    record = RunRecord.open(run, out)
    if json:
        unjudged = record.run.state == "sealed" and record.verdict is None
        shown = record.show(judge(record) if unjudged else None)
        sys.stdout.write(shown.model_dump_json(by_alias=True, indent=1) + "\n")
        return
    terminal.render(record, stored_or_judged(record), CliConsole())
