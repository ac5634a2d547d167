"""`harness clean`: end and remove what crashed runs left on this machine, or in a cluster. Living runs are left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.ids import is_run_id
from harness.process import Leftover, LeftoverCgroup, end_leftovers, leftover_cgroups, leftovers


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be ended and removed.")] = False,
    context: Annotated[
        str | None, typer.Option("--context", help="Remove what runs left in the cluster of this context instead.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option("--kubeconfig", help="Its file; default KUBECONFIG, else ~/.kube/config.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="With --context: only this run, whoever started it, wherever.")
    ] = None,
    certain: Annotated[
        bool, typer.Option("--i-know-what-i-am-doing", help="With --context: one that looks like production.")
    ] = False,
) -> None:
    """End processes and remove cgroups and kind clusters of runs whose harness is gone. They are ended without this, too; it
    is for when all that crashed together.

    Example: harness clean --dry-run
    Example: harness clean --context staging
    """
    if context is None:
        for option, given in (("--run", run), ("--kubeconfig", kubeconfig)):
            if given is not None:
                raise UsageError(f"{option} is about a cluster", remedy="name it with --context")
        _clean_machine(dry_run=dry_run)
        return
    if run is not None and not is_run_id(run):
        raise UsageError(f"{run!r} is not a run's id", remedy="write it as it stands in runs/")
    from harness.cluster import guard  # what is on this machine is cleaned without a cluster's client

    source = kubeconfig or guard.default_kubeconfig()
    guard.check(source, context, allowed=certain)
    _clean_cluster(source, context, run, dry_run=dry_run)


def _clean_machine(*, dry_run: bool) -> None:
    from harness.cluster import kind_owned

    processes, cgroups = _orphans()
    clusters = [owned for owned in kind_owned.load_all() if owned.orphaned]
    if not processes and not cgroups and not clusters:
        typer.echo("nothing is left of any dead run")
        return
    for item in processes:
        typer.echo(f"process {item.pid} of run {item.run_id or 'unknown'}: {item.command[:100]}")
    for cgroup in cgroups:
        typer.echo(f"cgroup {cgroup.path}")
    for owned in clusters:
        typer.echo(f"kind cluster {owned.name} of run {owned.run_id}")
    if dry_run:
        return
    stayed = end_leftovers(processes, cgroups)
    for owned in clusters:
        try:
            kind_owned.delete(owned)
        except HarnessError as error:
            stayed.append(str(error))
    if stayed:
        raise EnvironmentFault(
            "; ".join(stayed), remedy="look at these by hand, or run it again as the user who started them"
        )
    typer.echo("ended and removed")


def _orphans() -> tuple[list[Leftover], list[LeftoverCgroup]]:
    """Processes whose harness is gone, and cgroups of runs that have no living process of a living harness."""
    found = leftovers()
    living = {item.run_id for item in found if not item.orphaned}
    return [item for item in found if item.orphaned], [item for item in leftover_cgroups() if item.run_id not in living]


def _clean_cluster(source: Path, context: str, run: str | None, *, dry_run: bool) -> None:
    from harness.cluster import guests

    found = asyncio.run(guests.find(source, context))
    chosen = [guest for guest in found if run in (None, guest.run_id)]
    if not chosen:
        typer.echo(f"nothing is left of {'any run' if run is None else f'run {run}'} in {context}")
        return
    for guest in chosen:
        reason = guest.why_not(named=run is not None)
        typer.echo(f"run {guest.run_id}: {guest.objects} objects{f'; left alone: {reason}' if reason else ''}")
    going = [guest.run_id for guest in chosen if guest.why_not(named=run is not None) is None]
    if dry_run or not going:
        return
    stayed = asyncio.run(guests.remove(source, context, going))
    if stayed:
        raise EnvironmentFault("; ".join(stayed), place=context, remedy="look at these by hand, or run it again")
    typer.echo(f"removed {', '.join(going)}")
