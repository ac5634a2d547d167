"""`harness coldstart`: what it costs a controller, and the API server, to start when everything is there already."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli import completing, run_options
from harness.cli.console import CliConsole, tell
from harness.cli.progress import TerminalObserver
from harness.cluster.choice import ClusterChoice
from harness.core import paths
from harness.core.errors import UsageError
from harness.experiment.coldstarts import run_coldstart
from harness.experiment.options import RunOptions
from harness.record.coldstart import FILE
from harness.report import coldstart_terminal as terminal
from harness.scenario.cold import MOST_STARTS
from harness.scenario.load import load
from harness.subject import scope


def coldstart(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", autocompletion=completing.scenarios, help="A shipped scenario's name, or a file."
        ),
    ],
    restarts: Annotated[int, typer.Option("--restarts", min=1, max=MOST_STARTS, help="Restarts of the subject.")] = 3,
    storms: Annotated[
        int, typer.Option("--storms", min=0, max=MOST_STARTS, help="Relist storms: the API server is killed under it.")
    ] = 1,
    quiet_for: run_options.QuietFor = "2s",
    sets: run_options.Sets = None,
    profile: run_options.Profile = None,
    arm: run_options.Arm = None,
    subject: run_options.Subject = None,
    out: run_options.Out = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON (harness.coldstart/v1); progress to stderr.")
    ] = False,
) -> None:
    """Restart a controller with all objects present. Exits as the run does: 0 measured, 1 killed or crashed, 3 invalid.

    Example: harness coldstart secrets-8k --set memory_limit=256Mi
    """
    file = load(scenario)
    if file.arms and arm is None:
        raise UsageError(f"scenario {file.name} has arms", remedy=f"choose one: --arm {next(iter(file.arms))}")
    options = RunOptions(
        out=out or paths.runs_dir(), cluster=ClusterChoice("embedded"), profile=profile, sets=run_options.parse_sets(sets),
        subject=subject,
    )  # fmt: skip
    quiet = run_options.quiet_seconds(quiet_for)
    scope.enter_if_needed()
    console = CliConsole(stderr=json)
    with TerminalObserver(console) as observer:
        record, found = run_coldstart(
            file, options, observer, restarts=restarts, storms=storms, quiet_for=quiet, arm=arm
        )
    files = [record.path / name for name in (FILE, "report.html")]
    tell(found, lambda: terminal.render(found, console), files, console, json=json)
    raise typer.Exit(found.exit_code)
