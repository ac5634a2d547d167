"""`harness capacity`: how much memory so many objects need, and at how many a limit kills."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completing, run_options
from harness.cli.console import CliConsole, tell
from harness.cli.series_progress import SeriesObserver
from harness.core import paths, units
from harness.core.errors import UsageError
from harness.experiment import capacity as experiment
from harness.experiment import series
from harness.experiment.capacity_plan import Request
from harness.experiment.options import RunOptions
from harness.record.experiments import ExperimentRecord
from harness.report import capacity_page, capacity_terminal
from harness.scenario.load import ScenarioFile, load
from harness.subject import scope

_QUICK = "quick"
_MOST = 1_000_000


def capacity(
    scenario: run_options.Scenario = None,
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="SIZE", help="At how many objects does this memory limit kill?")
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, max=_MOST, help="What do so many need? With --limit: do they fit?")
    ] = None,
    ladder: Annotated[
        str | None,
        typer.Option("--ladder", metavar="N,N,…", help="Counts to measure, in place of those that follow."),
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option(
            "--objects",
            autocompletion=completing.parameters,
            metavar="PARAM",
            help="The parameter to vary; default that of the largest count.",
        ),
    ] = None,
    kills: Annotated[
        bool, typer.Option("--kills/--no-kills", help="Try the real limit, with real OOM kills, or only predict.")
    ] = True,
    sets: run_options.Sets = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            autocompletion=completing.profiles,
            help="quick: a few runs; else, and also, a profile of the scenario.",
        ),
    ] = None,
    subject: run_options.Subject = None,
    seed: run_options.Seed = None,
    resume: run_options.Resume = None,
    out: run_options.Out = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="The page; default beside capacity.json.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON (harness.capacity/v1); progress to stderr.")
    ] = False,
) -> None:
    """How memory grows with the number of objects, and where it kills. 0 answered, 1 does not fit, 3 no answer.

    Example: harness capacity secrets-8k --limit 128Mi --profile quick
    """
    options = RunOptions(
        out=out or paths.runs_dir(), profile=profile, sets=run_options.parse_sets(sets),
        subject=subject,
    )  # fmt: skip
    console = CliConsole(stderr=json)
    with SeriesObserver(console) as watcher:
        if resume is not None:
            if any((scenario, limit, count, ladder, objects, sets, profile, subject, seed)):
                raise UsageError("--resume takes all from the experiment", remedy="give it nothing beside")
            scope.enter_if_needed()
            going = series.take_up(ExperimentRecord.open(resume, options.out), options, watcher, kind="capacity")
            request = _request_of(going.asked)
            counted = experiment.prepare(going.file, going.options, request)
        else:
            if scenario is None:
                raise UsageError("capacity needs a SCENARIO", remedy="see harness capacity --help")
            request = Request(
                limit=_limit(limit), count=count, ladder=_ladder(ladder), objects=objects, quick=profile == _QUICK,
                kills=kills,
            )  # fmt: skip
            file = load(scenario)
            options = _with_profile(options, file, request)
            counted = experiment.prepare(file, options, request)
            scope.enter_if_needed()
            asked = {
                "limit": request.limit, "count": count, "ladder": list(request.ladder), "objects": objects,
                "quick": request.quick, "kills": kills,
            }  # fmt: skip
            first = seed if seed is not None else file.head.seed
            going = series.begin(file, options, watcher, kind="capacity", seed=first, asked=asked)
        budget = request.budget
        watcher.series_started(
            going.facts.experiment_id,
            f"{going.facts.scenario}: {counted.kind} by {counted.parameter}",
            [
                f"{budget.ladder} runs of the ladder and some beside; up to {budget.kills + budget.cold_kills} under the limit"
            ],
        )
        result = experiment.run_capacity(going, counted, request)
    page = capacity_page.write(result, html or going.record.path / "capacity.html")
    files = (page, going.record.path / experiment.FILE)
    tell(result, lambda: capacity_terminal.render(result, console), files, console, json=json)
    raise typer.Exit(result.exit_code)


def _with_profile(options: RunOptions, file: ScenarioFile, request: Request) -> RunOptions:
    """`quick` is a profile of ours; of the scenario it is one only where it has it."""
    if request.quick and _QUICK not in file.profiles:
        return RunOptions(out=options.out, sets=options.sets, subject=options.subject)
    return options


def _request_of(asked: dict[str, object]) -> Request:
    ladder = asked["ladder"]
    assert isinstance(ladder, list)
    limit, count, objects = asked["limit"], asked["count"], asked["objects"]
    return Request(
        limit=limit if isinstance(limit, int) else None, count=count if isinstance(count, int) else None,
        ladder=tuple(ladder), objects=objects if isinstance(objects, str) else None, quick=bool(asked["quick"]),
        kills=bool(asked["kills"]),
    )  # fmt: skip


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        value = units.parse(text, "bytes")
    except ValueError as error:
        raise UsageError(f"--limit: {error}", remedy="write it as --limit 256Mi") from None
    if value < 2**20:
        raise UsageError(f"--limit {text} is less than 1 MiB", remedy="write it as --limit 256Mi")
    return int(value)


def _ladder(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 0 < int(word) <= _MOST for word in words):
        raise UsageError(f"--ladder {text!r} is not a list of counts", remedy="write it as --ladder 500,1000,2000")
    if len(set(words)) < 3:
        raise UsageError("--ladder needs at least 3 counts: two always lie on a line", remedy="add one")
    return tuple(sorted({int(word) for word in words}))
