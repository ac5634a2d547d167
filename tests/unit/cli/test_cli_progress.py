"""What a run prints while it goes on."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.cli.console import CliConsole
from harness.cli.progress import TerminalObserver
from harness.experiment.options import Status
from harness.scenario.model import Scenario

_SCENARIO = Scenario.model_validate({"name": "mine", "summary": "Mine.", "subject": {"controller": "fleet"}})


def _console(width: int = 60) -> Console:
    console = CliConsole()
    console.file, console.width = io.StringIO(), width
    return console


def _printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_what_looks_like_markup_in_a_path_or_a_log_is_printed_as_it_is() -> None:
    console = _console()
    observer = TerminalObserver(console)
    observer.run_started("k4x7q", _SCENARIO, None, Path("runs[/b]"))
    observer.phase_ended("subject ended", "exit code 3; its last line: [ERROR] no [/lock]")
    assert "k4x7q  -> runs[/b]" in _printed(console)
    assert "[ERROR] no [/lock]" in _printed(console)


def test_a_sentence_stays_on_its_line() -> None:
    console = _console()
    TerminalObserver(console).phase_ended("subject ended", "OOM-killed at its memory limit: " + "and so on, " * 8)
    assert len(_printed(console).splitlines()) == 1


def test_memory_is_compared_with_the_limit_by_what_the_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    console = _console(width=200)
    observer = TerminalObserver(console)
    monkeypatch.setattr("harness.cli.progress._PLAIN_EVERY_SECONDS", -1.0)
    mib = 2**20
    observer.tick(
        Status(
            phase="settle", requested=None, done=0, per_s=None, rss_bytes=141 * mib, charged_bytes=122 * mib,
            limit_bytes=128 * mib, tasks=None, queue_depth=None, waiting_for=0,
        )
    )  # fmt: skip
    assert _printed(console) == "    settle  memory 122.0 MiB of 128.0 MiB\n"
