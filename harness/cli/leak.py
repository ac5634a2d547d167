"""`harness leak`: what does a controller not give back when what it worked on is gone?"""

from __future__ import annotations

import time
from typing import Annotated

import typer

from harness.cli import completing, run_options
from harness.cli.console import CliConsole, tell
from harness.cli.progress import TerminalObserver
from harness.cluster.choice import ClusterChoice
from harness.core import paths
from harness.core.errors import UsageError
from harness.core.units import format_value
from harness.experiment.leaking import LeakRequest, judge_record, parse_bounds, run_leak
from harness.experiment.options import RunOptions, Status
from harness.record.leak import FILE, PAGE
from harness.record.reader import RunRecord
from harness.report import leak_terminal as terminal
from harness.scenario.load import load
from harness.subject import scope


class CycleObserver(TerminalObserver):
    """A line for each cycle instead of one for each of its phases."""

    def __init__(self, console: CliConsole, cycles: int) -> None:
        super().__init__(console)
        self._cycles = cycles
        self._since = time.monotonic()
        self._rss: float | None = None
        self._last = ""

    def tick(self, status: Status) -> None:
        """See `Observer`."""
        self._rss = status.rss_bytes
        super().tick(status)

    def phase_started(self, phase: str, requested: int | None) -> None:
        """See `Observer`."""
        super().phase_started(phase, requested)
        name, _, number = phase.rpartition("-")
        if name == "point" and number.isdecimal():
            done = int(number) - 1
            took, self._since = time.monotonic() - self._since, time.monotonic()
            memory = "" if self._rss is None else f"  RSS {format_value(self._rss, 'bytes')}"
            title = "before the first cycle" if done == 0 else f"cycle {done}/{self._cycles}"
            title = title if done <= self._cycles else "cycles whose allocations are followed"
            super().phase_ended(title, f"{took:.1f} s{memory}")

    def phase_ended(self, phase: str, sentence: str) -> None:
        """See `Observer`."""
        if (
            not phase.startswith(
                ("create-", "delete-", "settle-", "read-", "patch-", "list-", "flip", "churn-", "pause-")
            )
            or "not quiet" in sentence
            or " failed" in sentence
        ):
            super().phase_ended(phase, sentence)


def leak(
    scenario: Annotated[
        str | None,
        typer.Argument(
            metavar="SCENARIO",
            autocompletion=completing.scenarios,
            help="A shipped scenario's name (`leak`), or a file.",
        ),
    ] = None,
    cycles: Annotated[int, typer.Option("--cycles", help="How many cycles of create and delete; 10 to 500.")] = 20,
    sites: Annotated[
        int, typer.Option("--sites", min=0, max=20, help="Cycles after these that name the code, by memray; 0: none.")
    ] = 2,
    bound: Annotated[
        list[str] | None,
        typer.Option(
            "--bound", metavar="NAME=VALUE", help="Growth that counts as none: heap=64B an object, tasks=0.2 a cycle."
        ),
    ] = None,
    warm_up: Annotated[
        int | None, typer.Option("--warm-up", min=0, help="Cycles before the trend; default a quarter, 2 at least.")
    ] = None,
    quiet_for: run_options.QuietFor = "1s",
    sets: run_options.Sets = None,
    profile: run_options.Profile = None,
    arm: run_options.Arm = None,
    subject: run_options.Subject = None,
    record: Annotated[
        str | None,
        typer.Option(
            "--record",
            autocompletion=completing.runs,
            metavar="RUN",
            help="Run nothing: judge the cycles of a stored run again.",
        ),
    ] = None,
    out: run_options.Out = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON (harness.leak/v1); progress to stderr.")
    ] = False,
) -> None:
    """Find what grows over cycles of create and delete. 0 all comes back, 1 a leak, 3 inconclusive or invalid.

    Example: harness leak leak --set helm_cache=leaking
    """
    request = LeakRequest(cycles, sites, run_options.quiet_seconds(quiet_for), warm_up, parse_bounds(bound or []))
    directory = out or paths.runs_dir()
    console = CliConsole(stderr=json)
    if record is not None:
        if scenario is not None or sets or profile or arm or subject:
            raise UsageError("--record takes all from the run", remedy="give it no scenario and no values beside")
        stored = RunRecord.open(record, directory)
        if stored.run.state == "running" and not stored.interrupted:
            raise UsageError("the run is still going on", place=record)
        found = judge_record(stored, request)
    else:
        if scenario is None:
            raise UsageError("it needs a SCENARIO", remedy="harness leak leak, or harness leak ./mine.yaml")
        options = RunOptions(
            out=directory,
            cluster=ClusterChoice("embedded"),
            profile=profile,
            sets=run_options.parse_sets(sets),
            subject=subject,
        )
        file = load(scenario)
        scope.enter_if_needed()
        with CycleObserver(console, cycles) as observer:
            stored, found = run_leak(file, options, request, observer, arm=arm)
    files = [stored.path / name for name in (FILE, PAGE)]
    tell(found, lambda: terminal.render(found, console), files, console, json=json)
    raise typer.Exit(found.exit_code)
