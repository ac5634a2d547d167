"""`harness annotate`: phases, kills and the verdict of a run as annotations in a Grafana."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.verdict import stored_or_judged
from harness.cli import completing, run_options
from harness.core.errors import UsageError
from harness.record.reader import RunRecord
from harness.report import annotations as marks
from harness.web.grafana import Grafana

TOKEN_ENV = "GRAFANA_TOKEN"  # noqa: S105 # the name of the variable


def annotate(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", autocompletion=completing.runs, help="An id, the unique start or end of one, or a path."
        ),
    ],
    grafana: Annotated[str, typer.Option("--grafana", metavar="URL", help="Where Grafana answers.")],
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help=f"File with a service account's token; default: {TOKEN_ENV}.")
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option("--serve", metavar="URL", help="Where `harness serve` answers; annotations link to it."),
    ] = None,
    out: run_options.Records = None,
) -> None:
    """Write a run's phases, kills and verdict into Grafana, on the dashboard Run; print the address of that.

    Again is harmless: what is there stays, what is no longer true is taken away. The token is never written anywhere.

    Example: GRAFANA_TOKEN=… harness annotate k4x7q --grafana http://127.0.0.1:3000
    """
    record = RunRecord.open(run, out)
    server = Grafana(grafana, _token(token_file))
    wanted = marks.of(record, stored_or_judged(record), serve=serve)
    added, removed = server.put(wanted, marks.run_tags(record), marks.DASHBOARD)
    typer.echo(f"{added} of {len(wanted)} annotations added, {removed} removed")
    typer.echo(marks.dashboard(server.url, record))


def _token(file: Path | None) -> str:
    """From the file or the environment, never from the command line, which others can read."""
    if file is not None:
        try:
            token = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the token cannot be read: {error}", place=str(file)) from None
    else:
        token = os.environ.get(TOKEN_ENV, "").strip()
    if not token or any(not sign.isprintable() or sign.isspace() for sign in token):
        where = TOKEN_ENV if file is None else str(file)
        raise UsageError(
            "there is no token", place=where, remedy=f"put a service account's token in {TOKEN_ENV} or --token-file"
        )
    return token
