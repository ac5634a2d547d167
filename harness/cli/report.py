"""`harness report`: the HTML page of a run, and its verdict made again from the record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.verdict import judge
from harness.record.reader import RunRecord
from harness.report import html, oom


def report(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run id, the unique start or end of one, or the path of a record.")
    ],
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Make verdict.json again from the record's facts.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; default report.html in the record.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where run records are; default runs/.")] = None,
) -> None:
    """Write the HTML report of a run and print its path.

    Example: harness report k4x7q --recompute
    """
    record = RunRecord.open(run, out)
    verdict = None if recompute else record.verdict
    if verdict is None:
        verdict = judge(record)
        record.save_verdict(verdict)
    typer.echo(html.write(record, verdict, output or record.path / "report.html"))
    if output is None:
        for path in oom.write(record):
            typer.echo(path)
