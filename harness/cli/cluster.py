"""`harness cluster`: clusters that stay up between commands, to look around in or to develop a controller against."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from harness.cli import completing
from harness.cli.console import CliConsole
from harness.cli.progress import TerminalObserver
from harness.cluster import detached, kind_kept, provider, state
from harness.cluster.choice import EMBEDDED, KIND, ClusterChoice
from harness.cluster.state import ClusterState
from harness.core.errors import UsageError

app = typer.Typer(
    name="cluster",
    help="Keep a control plane up between commands. (`harness run` always starts one of its own.)\n\n"
    "Example: harness cluster up --name dev",
    no_args_is_help=True,
)

_Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=completing.kept_clusters, help="Which cluster.")]


@app.command("up")
def up(
    name: Annotated[str, typer.Option("--name", help="What to call it.")] = state.DEFAULT_NAME,
    port: Annotated[int | None, typer.Option("--port", help="Port of the API server; a free one by default.")] = None,
    cluster: Annotated[
        str,
        typer.Option(
            "--cluster", autocompletion=completing.one_of(EMBEDDED, KIND), help="What it is: embedded or kind."
        ),
    ] = EMBEDDED,
    kind_image: Annotated[
        str | None, typer.Option("--kind-image", help="kind: the node image; default KIND_NODE_IMAGE, else kind's own.")
    ] = None,
    kind_config: Annotated[
        str | None, typer.Option("--kind-config", help="kind: one-node, control-plane-and-workers, or a file.")
    ] = None,
) -> None:
    """Start a cluster and leave it up.

    Example: harness cluster up && kubectl --kubeconfig "$(harness cluster kubeconfig)" get namespaces
    """
    if cluster not in (EMBEDDED, KIND):
        raise UsageError(f"a cluster of {cluster!r} cannot be kept up", remedy=f"use {EMBEDDED} or {KIND}")
    choice = ClusterChoice(cluster, kind_image=kind_image, kind_config=kind_config)
    provider.check(choice)
    if cluster == KIND and port is not None:
        raise UsageError("--port is about --cluster embedded, not kind", remedy="leave one of the two out")
    with TerminalObserver(CliConsole(stderr=True)) as progress:
        found = kind_kept.up(name, choice, progress) if cluster == KIND else detached.up(name, port, progress)
    typer.echo(f"cluster {found.name} is up: Kubernetes {found.version} at {found.server}")
    typer.echo(f"kubeconfig: {found.kubeconfig}")
    if cluster == KIND:
        typer.echo(f"in runs: --cluster kind --kind-name {kind_kept.kind_name(name)}")


@app.command("down")
def down(
    name: _Name = state.DEFAULT_NAME,
    all_: Annotated[bool, typer.Option("--all", help="End every cluster that is up.")] = False,
) -> None:
    """End a cluster and remove all it stored.

    Example: harness cluster down --all
    """
    if not all_:
        _end(state.load(name) or detached.require(name))
        return
    found = state.load_all()
    for one in found:
        _end(one)
    if not found:
        typer.echo("no cluster is up")


@app.command("status")
def status(json_: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """List the clusters that were started and not ended.

    Example: harness cluster status --json
    """
    rows = [_row(found) for found in state.load_all()]
    if json_:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo("no cluster is up; start one with `harness cluster up`")
        return
    table = Table(box=None)
    for heading in ("name", "kind of cluster", "state", "version", "server", "age"):
        table.add_column(heading)
    for row in rows:
        alive = "up" if row["alive"] else "gone"
        age = _duration(float(str(row["age_s"])))
        table.add_row(str(row["name"]), str(row["provider"]), alive, str(row["version"]), str(row["server"]), age)
    CliConsole().print(table, soft_wrap=True)


@app.command("kubeconfig")
def kubeconfig(
    name: _Name = state.DEFAULT_NAME,
    raw: Annotated[bool, typer.Option("--raw", help="Print the content instead of the path.")] = False,
) -> None:
    """Print where the administrator's kubeconfig of a cluster is.

    Example: export KUBECONFIG="$(harness cluster kubeconfig)"
    """
    path = Path(detached.require(name).kubeconfig)
    typer.echo(path.read_text(encoding="utf-8") if raw else path, nl=not raw)


def _end(found: ClusterState) -> None:
    lived = detached.down(found)
    typer.echo(f"cluster {found.name} {'is down' if lived else 'was gone already; forgotten'}")


def _row(found: ClusterState) -> dict[str, str | int | bool | None]:
    age = datetime.now(UTC) - datetime.fromisoformat(found.created_at)
    return {
        "name": found.name,
        "alive": detached.lives(found),
        "provider": found.provider,
        "version": found.version,
        "server": found.server,
        "kubeconfig": found.kubeconfig,
        "logs": found.logs,
        "pid": None if found.holder is None else found.holder.pid,
        "created_at": found.created_at,
        "age_s": int(age.total_seconds()),
    }


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
