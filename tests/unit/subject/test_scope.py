"""The harness in a scope of systemd. `systemd-run` is a fake here: a script that records what it was asked and does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.subject import scope

WORKS = """#!/bin/sh
echo "$*" >> {log}
while [ "$1" != "--" ]; do shift; done
shift
exec "$@"
"""
REFUSES = """#!/bin/sh
echo "some warning" >&2
echo "Failed to connect to user scope bus via local transport: No medium found" >&2
exit 1
"""
PROGRAM = """
import os, sys
from harness.subject import limits, scope
limits.probe = lambda: limits.Capability({ok}, 2, None, "as the test says")
scope.enter_if_needed()
print(os.getpid(), os.environ.get(scope.MARK), sys.argv[1:])
"""


def fake(tmp_path: Path, text: str) -> Path:
    """A directory with a systemd-run in it."""
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "systemd-run"
    program.write_text(text.format(log=tmp_path / "asked"))
    program.chmod(0o755)
    return directory


def start(directory: Path, *, ok: bool) -> tuple[int, str]:
    """Pid and output of a program that enters a scope if it needs one."""
    env = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
    env.pop(scope.MARK, None)
    command = [sys.executable, "-c", PROGRAM.format(ok=ok), "an argument"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        output, _ = process.communicate(timeout=30)
        return process.pid, output


def test_it_starts_again_in_a_delegated_scope(tmp_path: Path) -> None:
    pid, output = start(fake(tmp_path, WORKS), ok=False)
    assert output == f"{pid} 1 ['an argument']\n"  # once, as the same process, with the same arguments
    trial, real = (line for line in (tmp_path / "asked").read_text().splitlines() if line.startswith("--user"))
    assert trial == "--user --scope --quiet --collect --property=Delegate=yes -- true"
    assert real.startswith(f"--user --scope --quiet --collect --property=Delegate=yes -- {sys.executable} -c")


def test_it_stays_where_limits_can_be_had(tmp_path: Path) -> None:
    pid, output = start(fake(tmp_path, WORKS), ok=True)
    assert output == f"{pid} None ['an argument']\n"
    assert not (tmp_path / "asked").exists()


def test_a_systemd_that_refuses_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = fake(tmp_path, REFUSES)
    pid, output = start(directory, ok=False)
    assert output == f"{pid} None ['an argument']\n"
    monkeypatch.delenv(scope.MARK, raising=False)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    assert scope.why_not() == "Failed to connect to user scope bus via local transport: No medium found"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert scope.why_not() == "there is no systemd-run"
    monkeypatch.setenv(scope.MARK, "1")
    assert scope.why_not() == "this already is one"
