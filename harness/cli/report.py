"""`harness report`: the HTML page of a run, and its verdict made again from the record."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from harness.analysis.verdict import judge, stored_or_judged
from harness.cli import completing, outputs, run_options
from harness.core.errors import UsageError
from harness.gate.checks import of_gate, of_run
from harness.record.capacity import Capacity
from harness.record.checks import CheckSuite
from harness.record.experiments import ExperimentRecord
from harness.record.parts import merge
from harness.record.reader import RunRecord, parse_model
from harness.record.sweep import Sweep
from harness.record.tables import TABLES
from harness.report import capacity_page, experiment_page, oom, run_page, sweep_page


def report(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|EXPERIMENT",
            autocompletion=completing.runs_and_experiments,
            help="An id, the unique start or end of one, or a path.",
        ),
    ],
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Make verdict.json again from the record's facts.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; default report.html in the record.")
    ] = None,
    out: run_options.Records = None,
    junit: outputs.JUnit = None,
    markdown: outputs.Markdown = None,
    github: outputs.GitHub = False,
    checks: outputs.ChecksFile = None,
    acks: outputs.AcksFile = None,
) -> None:
    """Write the HTML report of a run or an experiment, print its path, and write what CI systems read.

    Exits 0 if what was asked for is written, whatever the verdict.

    Example: harness report k4x7q --recompute
    Example: harness report experiments/20261122-031500-abcde --junit gate.xml --markdown gate.md
    """
    wanted = outputs.parse(junit, markdown, github, checks, acks)
    experiment = ExperimentRecord.find(run, out)
    if experiment is not None:
        if recompute:
            raise UsageError(
                "--recompute is about one run", place=run, remedy="harness gate --rejudge judges a gate again"
            )
        if wanted.wanted:
            wanted.emit(wanted.together(_suites(experiment, wanted)), to_stderr=False)
        typer.echo(_page(experiment, output), err=wanted.github)
        return
    record = RunRecord.open(run, out)
    if recompute and (fewer := record.run.downsampled) is not None and fewer.samples_after is not None:
        raise UsageError(
            f"{fewer.samples_before - fewer.samples_after:,} of its {fewer.samples_before:,} samples are gone: its results are "
            "those that were computed of all of them",
            place=str(record.path),
            remedy="leave --recompute out; harness run --keep-samples keeps all",
        )
    if record.interrupted:
        _merge(record)
    verdict = None if recompute else record.verdict
    if verdict is None:
        verdict = judge(record)
        record.save_verdict(verdict)
    if wanted.wanted:
        wanted.emit(wanted.together([of_run(record.run, verdict, wanted.known)]), to_stderr=False)
    beside = oom.write(record) if output is None else []  # first: the report links to it
    for path in (run_page.write(record, verdict, output or record.path / "report.html"), *beside):
        typer.echo(path)


def _merge(record: RunRecord) -> None:
    """What the harness does at a run's end, and could not where it was killed; a record that cannot be written stays as it is."""
    for table in TABLES:
        with contextlib.suppress(OSError):
            merge(record.path, table)


def _suites(experiment: ExperimentRecord, wanted: outputs.Outputs) -> list[CheckSuite]:
    """A gate's one suite, or one for each run of another experiment."""
    gate = experiment.gate
    if gate is not None:
        return [of_gate(gate, wanted.known)]
    if experiment.experiment.kind == "gate":
        raise UsageError("the gate has no result yet", place=str(experiment.path))
    return [of_run(record.run, stored_or_judged(record), wanted.known) for record in experiment.runs()]


def _page(experiment: ExperimentRecord, output: Path | None) -> Path:
    """The page of an experiment: that of a capacity or a sweep, made again from its stored result, or that of the arms."""
    stored = experiment.path / "capacity.json"
    if stored.is_file():
        return capacity_page.write(parse_model(stored, Capacity), output or stored.with_suffix(".html"))
    stored = experiment.path / "sweep.json"
    if stored.is_file():
        return sweep_page.write(parse_model(stored, Sweep), output or stored.with_suffix(".html"))
    return experiment_page.write(experiment, output)
