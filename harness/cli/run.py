"""`harness run`: a scenario from nothing to a verdict."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import show
from harness.cli.console import CliConsole
from harness.cli.progress import TerminalObserver
from harness.core import paths
from harness.core.errors import UsageError
from harness.experiment import arms
from harness.experiment.options import RunOptions
from harness.report import terminal
from harness.scenario.load import load
from harness.subject import scope


def run(
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="A shipped scenario's name (`harness scenarios`) or a file.")
    ],
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a parameter; repeatable.")
    ] = None,
    profile: Annotated[str | None, typer.Option("--profile", help="A profile of the scenario, such as quick.")] = None,
    arm: Annotated[list[str] | None, typer.Option("--arm", help="Only this arm; repeatable. Default: all.")] = None,
    cluster: Annotated[str, typer.Option("--cluster", help="Where Kubernetes comes from: embedded.")] = "embedded",
    subject: Annotated[
        str | None, typer.Option("--subject", help="A command to test instead of the scenario's subject.")
    ] = None,
    memray: Annotated[
        str | None, typer.Option("--memray", help="launch: run a Python subject under memray; off.")
    ] = None,
    pyroscope: Annotated[
        str | None, typer.Option("--pyroscope", help="on: keep profiles in the record; URL: send them to a server too.")
    ] = None,
    pin: Annotated[
        bool, typer.Option("--pin/--no-pin", help="Keep subject and load on CPUs of their own, from 4 CPUs on.")
    ] = True,
    out: Annotated[Path | None, typer.Option("--out", help="Where run records go; default runs/.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print each run as JSON (harness.show/v1), a line each; progress to stderr.")
    ] = False,
) -> None:
    """Run a scenario. The exit code is the worst of its arms: 0 passed, 1 failed, 3 invalid or inconclusive.

    Example: harness run label-flip --profile quick --set status_patch=changed
    """
    options = RunOptions(
        out=out or paths.runs_dir(),
        provider=cluster,
        profile=profile,
        sets=_parse_sets(sets or []),
        subject=subject,
        memray=memray,
        pyroscope=pyroscope,
        pin=pin,
    )
    file = load(scenario)
    scope.enter_if_needed()
    console = CliConsole(stderr=json)
    with TerminalObserver(console) as observer:
        outcome = arms.run_scenario(file, options, observer, only=arm)
    for record in outcome.records:
        if json:
            sys.stdout.write(record.show().model_dump_json(by_alias=True) + "\n")
        else:
            console.print()
            terminal.render(record, show.stored_or_judged(record), console)
    if len(outcome.records) > 1 and not json:
        console.print()
        terminal.summary([(record, show.stored_or_judged(record)) for record in outcome.records], console)
    raise typer.Exit(outcome.exit_code)


def _parse_sets(pairs: list[str]) -> dict[str, str]:
    sets: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--set {pair!r} is not KEY=VALUE", remedy="write it as --set secrets=500")
        sets[key] = value
    return sets
