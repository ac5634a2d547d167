"""`harness dashboards`: Prometheus, Grafana and Pyroscope beside the harness, provisioned, on loopback."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completing, run_options
from harness.cli.export import as_openmetrics
from harness.core.errors import EnvironmentFault, UsageError
from harness.web import stack
from harness.web.stack import Ports

app = typer.Typer(
    name="dashboards",
    help="Prometheus, Grafana and Pyroscope beside the harness, provisioned, on loopback.\n\nExample: harness dashboards up",
    no_args_is_help=True,
)  # fmt: skip
_BACKFILL_S = 300

_PORTS = Ports()
_Port = Annotated[int, typer.Option(min=1, max=65535, help="Its port on loopback.")]


@app.command("up")
def up(
    prometheus_port: _Port = _PORTS.prometheus,
    metrics_port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of `harness run --metrics-port`, which is scraped.")
    ] = _PORTS.metrics,
    grafana_port: _Port = _PORTS.grafana,
    pyroscope_port: _Port = _PORTS.pyroscope,
) -> None:
    """Start all three with dashboards, data sources and rules. What cannot be had of the containers is told and left out.

    Example: harness dashboards up && harness run smoke --metrics-port 9464
    """
    ports = (prometheus_port, metrics_port, grafana_port, pyroscope_port)
    if len(set(ports)) < len(ports):
        raise UsageError("two ports are the same", remedy="name a port of its own for each")
    for sentence in stack.up(Ports(*ports)):
        typer.echo(sentence)


@app.command("down")
def down(purge: Annotated[bool, typer.Option("--purge", help="Remove what Prometheus has kept, too.")] = False) -> None:
    """End all three.

    Example: harness dashboards down
    """
    for sentence in stack.down(purge=purge):
        typer.echo(sentence)


@app.command("add")
def add(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN|CLAIMS|FILE.om…", autocompletion=completing.runs, help="Runs, claims, or exported files."
        ),
    ],
    out: run_options.Records = None,
) -> None:
    """Put finished runs into the Prometheus, at their own time; it shows them within a minute or two.

    Not those that it has scraped while they went on: they would be there twice, told apart by their label `instance`.

    Example: harness dashboards add k4x7q nightly.om
    """
    promtool = stack.find("promtool")
    for each in what:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(each)
            if path.suffix != ".om":
                path = Path(folder) / "run.om"
                path.write_text(as_openmetrics(each, out))
            elif not path.is_file():
                raise UsageError("there is no such file", place=each)
            command = [promtool, "tsdb", "create-blocks-from", "openmetrics", str(path), str(stack.data())]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=_BACKFILL_S, check=False)
            except subprocess.TimeoutExpired:
                raise EnvironmentFault(f"promtool did not end within {_BACKFILL_S} s", place=each) from None
        if done.returncode != 0:
            raise EnvironmentFault(f"promtool refused it: {' '.join(done.stderr.split())[-200:]}", place=each)
        typer.echo(f"{each} added")
