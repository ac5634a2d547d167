"""`harness export`: a run for other programs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.verdict import stored_or_judged
from harness.cli import completing, run_options
from harness.cli.files import write_text
from harness.record.claims import Claims
from harness.record.reader import RunRecord, parse_model
from harness.report import openmetrics, openmetrics_claims

CLAIMS = "claims.json"


class Format(StrEnum):
    """What a run can be written as."""

    OPENMETRICS = "openmetrics"


def export(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|CLAIMS",
            autocompletion=completing.runs,
            help="An id, the unique start or end of one, or a path; claims.json too.",
        ),
    ],
    format_: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.OPENMETRICS,  # noqa: ARG001 # one so far
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; default standard output.")] = None,
    out: run_options.Records = None,
) -> None:
    """Write a run with its timestamps in a format of other programs: OpenMetrics text for Prometheus.

    What `harness claims` found is written the same way: name its claims.json or the folder of it. Exits 0 if it is written,
    whatever the verdict.

    Example: harness export k4x7q -o run.om && promtool tsdb create-blocks-from openmetrics run.om data/
    """
    text = as_openmetrics(run, out)
    if output is None:
        sys.stdout.write(text)
        return
    write_text(output, text)
    typer.echo(str(output))


def as_openmetrics(what: str, out: Path | None) -> str:
    """A run, or what `harness claims` has written, as text. Raises UsageError where it is neither."""
    path = Path(what)
    claims = path if path.name == CLAIMS else path / CLAIMS
    if claims.is_file():
        return openmetrics_claims.render(parse_model(claims, Claims))
    record = RunRecord.open(what, out)
    return openmetrics.render(record, stored_or_judged(record))
