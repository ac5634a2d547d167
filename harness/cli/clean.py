"""`harness clean`: end and remove what crashed runs left on this machine. Living runs are left alone."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.core.errors import EnvironmentFault
from harness.process import Leftover, LeftoverCgroup, end_leftovers, leftover_cgroups, leftovers


def clean(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be ended and removed.")] = False,
) -> None:
    """End processes and remove cgroups of runs whose harness is gone. Supervisors do that; this is for when both crashed.

    Example: harness clean --dry-run
    """
    processes, cgroups = _orphans()
    if not processes and not cgroups:
        typer.echo("nothing is left of any dead run")
        return
    for item in processes:
        typer.echo(f"process {item.pid} of run {item.run_id or 'unknown'}: {item.command[:100]}")
    for cgroup in cgroups:
        typer.echo(f"cgroup {cgroup.path}")
    if dry_run:
        return
    stayed = end_leftovers(processes, cgroups)
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
