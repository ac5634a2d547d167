"""`harness compare`: two runs, experiments or subjects, every metric."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completing, outputs, run_options
from harness.cli.console import CliConsole
from harness.cli.gate_progress import GateObserver
from harness.core import paths
from harness.core.errors import UsageError
from harness.experiment import comparing, gating, specs
from harness.experiment.options import RunOptions
from harness.gate import stored
from harness.gate.compare import compare as compare_stored
from harness.record.comparison import Comparison
from harness.record.experiments import ExperimentRecord
from harness.report import compare_terminal
from harness.scenario.load import load
from harness.subject import scope


def compare(
    a: Annotated[
        str,
        typer.Argument(
            metavar="A",
            autocompletion=completing.runs_and_experiments,
            help="A run, EXPERIMENT:ARM (ids or paths), or a subject (SPEC) with --scenario.",
        ),
    ],
    b: Annotated[
        str, typer.Argument(metavar="B", autocompletion=completing.runs_and_experiments, help="What is held against A.")
    ],
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario",
            autocompletion=completing.scenarios,
            help="Measure A and B, both subjects, under this scenario.",
        ),
    ] = None,
    pairs: Annotated[
        int | None, typer.Option("--pairs", min=1, max=100, help="Of subjects: pairs to measure; default 3.")
    ] = None,
    profile: run_options.Profile = None,
    sets: run_options.Sets = None,
    build: Annotated[str | None, typer.Option("--build", metavar="CMD", help="Builds a git:REVISION.")] = None,
    subject: Annotated[str | None, typer.Option("--subject", metavar="CMD", help="Command of git subjects.")] = None,
    seed: run_options.Seed = None,
    across_machines: Annotated[
        bool, typer.Option("--across-machines", help="Compare what was measured on different machines.")
    ] = False,
    out: run_options.Records = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object (schema harness.compare/v1).")] = False,
) -> None:
    """Compare B with A. It informs and decides nothing: exits 0 if there was something to compare.

    Example: harness compare k4x7q m5w2z
    """
    directory = out or paths.runs_dir()
    console = CliConsole(stderr=json)
    page: Path | None = None
    if scenario is None:
        if given := [name for name in (a, b) if specs.is_spec(name)]:
            raise UsageError(
                f"{given[0]!r} is a subject to be measured", remedy="say by which scenario: --scenario NAME"
            )
        found = _stored(a, b, directory, across_machines=across_machines)
    else:
        options = RunOptions(out=directory, profile=profile, sets=run_options.parse_sets(sets))
        request = gating.Request(baseline=a, candidate=b, build=build, subject=subject, pairs=pairs, seed=seed)
        file = load(scenario)
        scope.enter_if_needed()
        with GateObserver(console) as watcher:
            found = comparing.compare_subjects(file, options, request, watcher)
        if found.experiment_id is not None:
            page = outputs.write_page(ExperimentRecord.open(found.experiment_id, directory))
    if json:
        sys.stdout.write(found.model_dump_json(by_alias=True) + "\n")
    else:
        compare_terminal.render(found, console)
        if page is not None:
            console.print(f"\n  {page}", soft_wrap=True, markup=False)


def _stored(a: str, b: str, directory: Path, *, across_machines: bool) -> Comparison:
    left, right = stored.find(a, directory), stored.find(b, directory)
    pairs = stored.pairs_between(left, right)
    return compare_stored(left.compared, right.compared, pairs, across_machines=across_machines)
