"""Command lines: every option of the verbs that read, and of those that run up to where they would begin to."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import typer
from hypothesis import strategies as st

from harness.cli import main as cli
from harness.core.errors import ExitCode, UsageError
from harness.subject import scope
from tests import records
from tests.fuzz.folder import folder
from tests.fuzz.inputs import HOSTILE
from tests.fuzz.property import Broken, Target

_VERBS = ("run", "gate", "compare", "capacity", "sweep", "leak", "coldstart", "show", "report", "export", "history")
_NEVER = {
    "--pid",
    "--run",
    "--history",
    "--help",
    "-h",
    "--html",
    "--junit",
    "--markdown",
    "--checks",
    "--output",
    "-o",
    "--build",
}
"""What would touch a process, or write where a word says."""
_WORDS = (
    "smoke",
    "secrets-8k",
    "smok",
    "mine.yaml",
    "missing/x.yaml",
    ".",
    "",
    " ",
    "\x00",
    "a" * 5000,
    "\udcff",
    "-1",
    "0",
    "3",
    "1e3",
    "99999999999999999999",
    "256Mi",
    "5m",
    "1e999s",
    "0s",
    "k4x7q",
    records.RUN_ID,
    "x:y",
    "scenario",
    "options:workers=1",
    "set:secrets=1",
    "git:HEAD",
    "image:x",
    "command:x",
    "'",
    "quick",
    "secrets=500",
    "secrets=[",
    "a=b",
    "=",
    "memory.rss.peak=3%",
    "memory.rss.peak",
    "latency.flip.p99",
    "workers=1,10",
    "embedded",
    "kind",
    "kubeconfig",
    "launch",
    "attach",
    "off",
    "on",
    "http://127.0.0.1:1",
    "30d",
    "2026-11-01",
    "openmetrics",
    "tasks > 5",
    "create-Secret",
    "process",
    "pod",
    "invalid",
    "show",
    "import",
    "export",
    *HOSTILE,
)
_DOCUMENTED = frozenset(int(code) for code in ExitCode) - {int(ExitCode.BUG)}


class _Reached(UsageError):
    """It would begin to run now: all of its words have been taken."""


@functools.cache
def _options(verb: str) -> tuple[tuple[str, bool], ...]:
    """The options of a verb and of those below it, and whether they take a value."""
    command = typer.main.get_command(cli.command_line([verb]))
    found: dict[str, bool] = {}

    def collect(each: Any) -> None:  # typer's own
        for parameter in each.params:
            for name in (*parameter.opts, *parameter.secondary_opts):
                if name.startswith("-") and name not in _NEVER:
                    found[name] = not getattr(parameter, "is_flag", False)
        for below in getattr(each, "commands", {}).values():
            collect(below)

    collect(command)
    return tuple(sorted(found.items()))


@st.composite
def _lines(draw: st.DrawFn) -> list[str]:
    verb = draw(st.sampled_from(_VERBS))
    words = [verb, *draw(st.lists(st.sampled_from(_WORDS), max_size=2))]
    for _ in range(draw(st.integers(0, 3))):
        option, takes = draw(st.sampled_from(_options(verb)))
        words += [option, draw(st.sampled_from(_WORDS))] if takes else [option]
    return words


@functools.cache
def _place() -> Path:
    """A folder with a run in it."""
    place = folder() / "cli"
    records.passing(place / "runs" / records.RUN_ID)
    return place


@contextlib.contextmanager
def _here(place: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


def _command(words: list[str]) -> None:
    said, told = io.StringIO(), io.StringIO()
    reached = mock.Mock(side_effect=_Reached("it would run now"))
    state = {"HARNESS_STATE": str(_place() / "state"), "HARNESS_RUNS": "", "HARNESS_HISTORY": ""}
    environment = {name: value for name, value in {**os.environ, **state}.items() if value}
    with (
        _here(_place()),
        mock.patch.object(scope, "enter_if_needed", reached),
        mock.patch.object(sys, "argv", ["harness", *words]),
        mock.patch.dict(os.environ, environment, clear=True),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(told),
    ):
        code = _exit_code()
    if code not in _DOCUMENTED:
        raise Broken(f"exit code {code}: {told.getvalue()[-500:]}")
    lines = [line for line in told.getvalue().splitlines() if line.startswith("harness: ")]
    if code == ExitCode.USAGE and len(lines) != 1 and "Usage:" not in told.getvalue():
        raise Broken(f"{len(lines)} lines about the mistake: {told.getvalue()[-500:]!r}")
    if "Traceback" in told.getvalue() or not all(line.isprintable() for line in lines):
        raise Broken(f"no line for people: {told.getvalue()[-500:]!r}")


def _exit_code() -> int:
    try:
        cli.main()
    except SystemExit as done:
        return int(done.code or 0)
    return 0


TARGETS = (Target("command-lines", _lines(), _command, (), 0.1),)
