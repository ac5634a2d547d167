"""`harness export`: a run for other programs."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.show import stored_or_judged
from harness.core.errors import EnvironmentFault
from harness.record.reader import RunRecord
from harness.report import openmetrics


class Format(StrEnum):
    """What a run can be written as."""

    OPENMETRICS = "openmetrics"


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="An id, the unique start or end of one, or a path.")],
    format_: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.OPENMETRICS,  # noqa: ARG001 # one so far
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; default standard output.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where run records are; default runs/.")] = None,
) -> None:
    """Write a run with its timestamps in a format of other programs: OpenMetrics text for Prometheus.

    Exits 0 if it is written, whatever the verdict.

    Example: harness export k4x7q -o run.om && promtool tsdb create-blocks-from openmetrics run.om data/
    """
    record = RunRecord.open(run, out)
    text = openmetrics.render(record, stored_or_judged(record))
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot be written: {error.strerror or error}", place=str(output), remedy="write it to another place"
        ) from None
    typer.echo(str(output))
