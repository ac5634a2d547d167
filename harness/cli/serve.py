"""`harness serve`: runs, experiments, comparisons and the history as pages in a browser of this machine."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from harness.cli import outputs, run_options
from harness.core import paths
from harness.core.errors import ExitCode, UsageError

PORT = 8765


def serve(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="On 127.0.0.1; 0 is any that is free.")] = PORT,
    out: run_options.Records = None,
    history: outputs.HistoryDir = None,
) -> None:
    """Serve the runs as pages, on this machine's loopback only, until Ctrl-C (which exits 130, as everywhere).

    Example: harness serve --port 9000
    """
    if out is not None and not out.is_dir():
        raise UsageError("there is no such folder", place=f"--out {out}", remedy="name the folder that holds the runs")
    root = out or paths.runs_dir()
    from harness.web import server  # aiohttp, DuckDB and the charts: not for --help

    def ready(address: str) -> None:
        typer.echo(f"{address}  serves {root}/ to this machine; Ctrl-C ends it")
        sys.stdout.flush()  # a program that started it reads the address through a pipe

    asyncio.run(server.serve(root, history or paths.history_dir(root), port, ready))
    raise typer.Exit(int(ExitCode.INTERRUPTED))
