"""`harness sweep`: a scenario with every combination of values; the knee, and the value to choose."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.sweep_runs import THROUGHPUT
from harness.cli import completing, run_options
from harness.cli.console import CliConsole, tell
from harness.cli.series_progress import SeriesObserver
from harness.core import paths
from harness.core.errors import UsageError
from harness.experiment import series
from harness.experiment import sweep as experiment
from harness.experiment.options import RunOptions
from harness.experiment.sweep import Request
from harness.record.experiments import ExperimentRecord
from harness.record.models import OnBusy
from harness.report import sweep_page, sweep_terminal
from harness.scenario.load import load
from harness.subject import scope

_REPEATS = 3


def sweep(
    scenario: run_options.Scenario = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            autocompletion=completing.settings,
            metavar="KEY=V,V,…",
            help="Values of a parameter, as workers=1,10,50; repeatable: every combination.",
        ),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option("--repeats", min=1, max=50, help=f"Runs of each combination; default {_REPEATS}.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            autocompletion=completing.metric_names,
            metavar="METRIC",
            help="What decides in place of throughput, as latency.flip.p99.",
        ),
    ] = None,
    sets: run_options.Sets = None,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile",
            autocompletion=completing.profiles,
            help="A profile of the scenario; quick also means one run of each.",
        ),
    ] = None,
    subject: run_options.Subject = None,
    seed: run_options.Seed = None,
    resume: run_options.Resume = None,
    on_busy: Annotated[
        OnBusy,
        typer.Option(
            "--on-busy", envvar="HARNESS_ON_BUSY", help="What a machine too busy to judge times makes of a run."
        ),
    ] = "invalid",
    out: run_options.Out = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="The page; default beside sweep.json.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON (harness.sweep/v1); progress to stderr.")
    ] = False,
) -> None:
    """Find the value from which on more does not help. 0 a value is recommended, 3 none is, or a combination has no valid run.

    Example: harness sweep label-flip --profile quick --vary workers=1,10,50,100,200,500
    """
    options = RunOptions(
        out=out or paths.runs_dir(), profile=profile, sets=run_options.parse_sets(sets), subject=subject, on_busy=on_busy
    )  # fmt: skip
    console = CliConsole(stderr=json)
    with SeriesObserver(console) as watcher:
        if resume is not None:
            if any((scenario, vary, repeats, by, sets, profile, subject, seed)):
                raise UsageError("--resume takes all from the experiment", remedy="give it nothing beside")
            scope.enter_if_needed()
            going = series.take_up(ExperimentRecord.open(resume, options.out), options, watcher, kind="sweep")
            asked = going.asked
            request = Request(asked["vary"], asked["repeats"], asked["by"])
            experiment.prepare(going.file, going.options, request)
        else:
            if scenario is None or not vary:
                raise UsageError("sweep needs a SCENARIO and --vary", remedy="see harness sweep --help")
            each = repeats or (1 if profile == "quick" else _REPEATS)
            request = Request(_vary(vary), each, by or THROUGHPUT)
            file = load(scenario)
            experiment.prepare(file, options, request)
            scope.enter_if_needed()
            asked = {"vary": request.vary, "repeats": each, "by": request.by}
            first = seed if seed is not None else file.head.seed
            going = series.begin(file, options, watcher, kind="sweep", seed=first, asked=asked)
        number = len(request.combinations)
        watcher.series_started(
            going.facts.experiment_id, going.facts.scenario,
            [f"{number} combinations, {number * request.repeats} runs; decided by {request.by}"],
        )  # fmt: skip
        result = experiment.run_sweep(going, request)
    page = sweep_page.write(result, html or going.record.path / "sweep.html")
    files = (page, going.record.path / experiment.FILE)
    tell(result, lambda: sweep_terminal.render(result, console), files, console, json=json)
    raise typer.Exit(result.exit_code)


def _vary(texts: list[str]) -> dict[str, list[str]]:
    """`--vary KEY=V,V`, repeated; commas in brackets belong to a value. Raises UsageError."""
    found: dict[str, list[str]] = {}
    for text in texts:
        key, equals, rest = text.partition("=")
        values = _split(rest)
        if not equals or not key or not all(values):
            raise UsageError(f"--vary {text!r} is not KEY=VALUE,VALUE", remedy="write it as --vary workers=1,10,50")
        if key in found:
            raise UsageError(f"{key} is varied twice", place=f"--vary {text}", remedy="write all its values once")
        if len(set(values)) < len(values):
            raise UsageError("a value stands twice", place=f"--vary {text}", remedy="--repeats measures it again")
        found[key] = values
    return found


def _split(text: str) -> list[str]:
    values, depth = [""], 0
    for character in text:
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0:
            values.append("")
        else:
            values[-1] += character
    return [value.strip() for value in values]
