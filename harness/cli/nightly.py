"""`harness nightly`: is this commit worse than the last good one? Every gate of a night, within a given time."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import cluster_options, completing, outputs, run_options
from harness.cli.console import CliConsole
from harness.cli.interrupting import until_signal
from harness.cli.progress import TerminalObserver
from harness.cluster import kind_kept, provider
from harness.cluster.choice import KIND, ClusterChoice
from harness.core import paths
from harness.core.errors import EnvironmentFault, UsageError
from harness.experiment import nightly as nights
from harness.experiment import worktree
from harness.experiment.last_good import LAST_GOOD
from harness.gate import github, junit, night_report
from harness.record.checks import Checks
from harness.record.night import Night
from harness.record.writer import write_atomically
from harness.scenario.load import load
from harness.scenario.resolve import resolve

GATES = ("label-flip", "secrets-8k")
"""Scenarios of a night where nothing else is asked: changes and their effects, and memory."""


def nightly(
    gates: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SCENARIO",
            autocompletion=completing.scenarios,
            help=f"Names or files with a gate; default {' '.join(GATES)}.",
        ),
    ] = None,
    baseline: Annotated[
        str, typer.Option("--baseline", metavar="REVISION", help="What to hold against, in place of the last good one.")
    ] = LAST_GOOD,
    fallback: Annotated[
        str, typer.Option("--fallback", metavar="REVISION", help="Where the history knows no good one yet.")
    ] = "HEAD^",
    profile: Annotated[
        str, typer.Option("--profile", autocompletion=completing.profiles, help="A profile of the scenarios.")
    ] = "gate",
    budget: Annotated[str, typer.Option("--budget", metavar="TIME", help="All gates together, such as 43m.")] = "43m",
    pairs: Annotated[int | None, typer.Option("--pairs", min=2, max=100, help="Of each gate, at most.")] = None,
    memray_pairs: Annotated[
        int, typer.Option("--memray-pairs", min=0, max=20, help="Of a regression: pairs that name allocation sites.")
    ] = 2,
    build: Annotated[str | None, typer.Option("--build", metavar="CMD", help="Builds each commit's checkout.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="CMD", help="Command of both ({worktree}: their checkout).")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Measure also a commit that was found good already.")] = False,
    cluster: cluster_options.Provider = "embedded",
    kind_name: cluster_options.KindName = None,
    kind_image: cluster_options.KindImage = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where all that it makes goes; default nightly/ beside runs/.")
    ] = None,
    history: outputs.HistoryDir = None,
    acks: outputs.AcksFile = None,
    annotate: outputs.GitHub = False,
    json: Annotated[bool, typer.Option("--json", help="Print the night as JSON (harness.night/v1).")] = False,
) -> None:
    """Judge HEAD against the last good commit. 0 good, 1 worse (or alert), 3 no conclusion, 4 not in time.

    Example: harness nightly --cluster kind --kind-name nightly --github
    """
    chosen = gates or list(GATES)
    seconds = run_options.budget_seconds(budget, "43m")
    names: dict[str, str] = {}
    for name in chosen:
        named = load(name)
        if named.name in names.values():
            raise UsageError(f"scenario {named.name} is named twice", remedy="name each once")
        names[name] = named.name
        if resolve(named, profile=profile).gate is None:
            raise UsageError(f"scenario {name} does not say what decides", remedy="add gate: {primary: …} to it")
    folder = out or nights.default_out()
    try:
        (folder / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            error.strerror or str(error), place=str(folder), remedy="write to another --out"
        ) from None
    result = _measured(
        nights.Plan(
            tree=worktree.repository(Path.cwd()), scenarios=chosen, profile=profile, baseline=baseline, fallback=fallback,
            out=folder.absolute(), history=(history or paths.history_dir(paths.runs_dir())).absolute(), budget_s=seconds,
            cluster=cluster, again=again, names=names,
        ),
        kind_name,
        kind_image,
        pairs=pairs, memray_pairs=memray_pairs or None, build=build, subject=subject,
        acks=None if acks is None else acks.absolute(),
    )  # fmt: skip
    found = night_report.together(result.night, result.judged)
    text = night_report.render(result.night, found)
    _write(folder, result.night, found, text)
    if annotate:
        for line in github.lines(found):
            typer.echo(line, err=json)
        if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
            with Path(summary).open("a") as job_summary:
                job_summary.write(text)
    if json:
        sys.stdout.write(result.night.model_dump_json(by_alias=True) + "\n")
    else:
        _tell(result.night, folder)
    raise typer.Exit(result.night.exit_code)


def _measured(plan: nights.Plan, kind_name: str | None, kind_image: str | None, **given: object) -> nights.Result:
    """The night, on a kind cluster of its own where kind is asked for and none is named: a gate makes one for each run."""
    with ExitStack() as stack:
        if plan.cluster == KIND and kind_name is None:
            choice = ClusterChoice(KIND, kind_image=kind_image)
            provider.check(choice)
            name = f"nightly-{os.getpid()}"
            with TerminalObserver(CliConsole(stderr=True)) as progress:
                stack.callback(kind_kept.down, kind_kept.up(name, choice, progress))
            kind_name = kind_kept.kind_name(name)
        options = _options(cluster=plan.cluster, kind_name=kind_name, kind_image=kind_image, **given)
        return asyncio.run(
            until_signal(
                lambda stop: nights.run(replace(plan, options=options), lambda text: typer.echo(text, err=True), stop)
            )
        )


def _write(folder: Path, night: Night, found: Checks, text: str) -> None:
    """What CI systems and people read, beside the runs."""
    files = {
        "night.json": night.model_dump_json(by_alias=True, indent=1) + "\n", "summary.md": text,
        "junit.xml": junit.render(found), "checks.json": found.model_dump_json(by_alias=True, indent=1) + "\n",
    }  # fmt: skip
    for name, content in files.items():
        try:
            write_atomically(folder / name, content)
        except OSError as error:
            raise EnvironmentFault(f"cannot be written: {error.strerror}", place=str(folder / name)) from error


def _tell(night: Night, folder: Path) -> None:
    for warning in night.warnings:
        typer.echo(f"warning: {warning}", err=True)
    for gate in night.gates:
        typer.echo(f"{gate.verdict.upper():<13} {gate.scenario}: {gate.message}")
        if gate.alert:
            typer.echo(f"  alert: {gate.alert}")
        for line in gate.blame[:5]:
            typer.echo(f"  {line}")
    typer.echo(f"\n  {folder / 'summary.md'}\n  harness serve --out {folder / 'runs'}   # the gates' pages")


def _options(**given: object) -> list[str]:
    return [
        word
        for name, value in given.items()
        if value is not None
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
