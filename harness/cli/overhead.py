"""`harness overhead`: what looking costs, measured on this machine."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from harness.cli import completing
from harness.cli.console import CliConsole
from harness.cli.interrupting import until_signal
from harness.cli.progress import TerminalObserver
from harness.core.errors import EnvironmentFault, ExitCode, UsageError
from harness.experiment.overhead import Plan, measure
from harness.experiment.overhead_arms import NAMES, chosen
from harness.report import overhead_terminal
from harness.scenario.hints import suggest
from harness.subject import limits, scope


def overhead(
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            autocompletion=completing.one_of(*NAMES),
            metavar="NAME",
            help=f"Only this; repeatable. Of {', '.join(NAMES)}. Default: all.",
        ),
    ] = None,
    pairs: Annotated[int, typer.Option("--pairs", min=1, max=50, help="Rounds: one pair of runs of each.")] = 3,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The order in each round is drawn from it.")] = 1,
    repos: Annotated[
        int, typer.Option("--repos", min=1, max=1000, help="GitRepos of the work, of 10 Bundles each.")
    ] = 40,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object (harness.overhead/v1); progress to stderr.")
    ] = False,
) -> None:
    """Measure what each collector costs: the same work with it and without, interleaved. About half a minute a run.
    Ctrl-C ends it early; what was measured by then counts.

    Goals are told as met or missed and fail nothing; the exit code is 3 where no pair counts.

    Example: harness overhead --only passive --only memray-launch --pairs 5
    """
    for name in only or []:
        if name not in NAMES:
            raise UsageError(f"--only {name!r} is unknown", remedy=suggest(name, NAMES, title="there are"))
    scope.enter_if_needed()
    if not (capability := limits.probe()).ok:  # without one there is nothing for the collector oom to watch
        raise EnvironmentFault(
            f"the subject gets a memory limit, and this machine cannot: {capability.sentence}", remedy=capability.remedy
        )
    console = CliConsole(stderr=json)
    plan = Plan(chosen(only or []), pairs, seed, repos)
    with TerminalObserver(console) as progress:
        found = asyncio.run(until_signal(lambda stop: measure(plan, progress, stop)))
    if json:
        sys.stdout.write(found.model_dump_json(by_alias=True, indent=1) + "\n")
    else:
        console.print()
        overhead_terminal.render(found, console)
    raise typer.Exit(ExitCode.PASSED if found.costs else ExitCode.INVALID)
