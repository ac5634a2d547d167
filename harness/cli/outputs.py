"""What `run`, `gate` and `report` write for CI systems, and the options that ask for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from harness.core import paths
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.gate import acks, checks, github, junit, markdown
from harness.gate.acks import NONE, Acks
from harness.record.checks import Checks, CheckSuite
from harness.record.experiments import ExperimentRecord
from harness.record.writer import write_atomically
from harness.report import experiment_page

JUnit = Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")]
Markdown = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write Markdown for a pull request or job summary.")
]
GitHub = Annotated[
    bool, typer.Option("--github", help="Print GitHub annotations, and add to the job summary where there is one.")
]
ChecksFile = Annotated[Path | None, typer.Option("--checks", metavar="FILE", help="Write JSON (harness.checks/v1).")]
AcksFile = Annotated[
    Path | None, typer.Option("--acks", metavar="FILE", help="Known regressions, which are warnings until they expire.")
]


HistoryDir = Annotated[
    Path | None,
    typer.Option("--history", metavar="DIR", help="The history; default history/ beside the runs."),
]
NoHistory = Annotated[bool, typer.Option("--no-history", help="Do not add what is measured to a history.")]


def write_page(experiment: ExperimentRecord) -> Path | None:
    """The page of an experiment. That it cannot be written is told: the result is stored, and the page can be made later."""
    try:
        return experiment_page.write(experiment)
    except HarnessError as error:
        typer.echo(f"warning: {error}", err=True)
        return None


def history_of(given: Path | None, none: bool, runs_dir: Path) -> Path | None:
    """The history that these options mean; None where there is to be none."""
    return None if none else given or paths.history_dir(runs_dir)


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a command line asks for; checked before anything is measured."""

    junit: Path | None = None
    markdown: Path | None = None
    github: bool = False
    checks: Path | None = None
    known: Acks = NONE

    @property
    def wanted(self) -> bool:
        """Whether there is anything to write."""
        return self.github or any((self.junit, self.markdown, self.checks))

    def together(self, suites: Sequence[CheckSuite]) -> Checks:
        """The suites as one result, acknowledgements considered."""
        return checks.together(suites, self.known)

    def emit(self, found: Checks, *, to_stderr: bool) -> None:
        """Write everything that was asked for. Raises EnvironmentFault where a file cannot be written."""
        self._write(self.junit, lambda: junit.render(found))
        self._write(self.markdown, lambda: markdown.render(found))
        self._write(self.checks, lambda: found.model_dump_json(by_alias=True, indent=1) + "\n")
        for warning in found.warnings:
            typer.echo(f"warning: {warning}", err=True)
        if found.alert is not None:
            typer.echo(f"alert: {found.alert}", err=True)
        if not self.github:
            return
        for line in github.lines(found):
            typer.echo(line, err=to_stderr)
        summary = os.environ.get("GITHUB_STEP_SUMMARY")
        if summary:
            try:
                with Path(summary).open("a") as file:
                    file.write(markdown.render(found) + "\n")
            except OSError as error:
                raise EnvironmentFault(f"the job summary cannot be written: {error.strerror}", place=summary) from error

    def _write(self, path: Path | None, text: Callable[[], str]) -> None:
        if path is None:
            return
        try:
            if path.exists() and not path.is_file():  # a device or a pipe is written to, never replaced
                path.write_text(text())
            else:
                write_atomically(path.resolve(), text())
        except OSError as error:
            raise EnvironmentFault(f"cannot be written: {error.strerror or error}", place=str(path)) from error


def parse(
    junit_file: Path | None,
    markdown_file: Path | None,
    annotate: bool,
    checks_file: Path | None,
    acks_file: Path | None,
) -> Outputs:
    """The options as one thing. Raises UsageError for a mistake in the acknowledgements or a place that is not there."""
    for path in (junit_file, markdown_file, checks_file):
        if path is not None and not path.absolute().parent.is_dir():
            raise UsageError("its directory does not exist", place=str(path), remedy="make it, or name another file")
    known = NONE if acks_file is None else acks.load(acks_file, datetime.now(UTC).date())
    return Outputs(junit_file, markdown_file, annotate, checks_file, known)
