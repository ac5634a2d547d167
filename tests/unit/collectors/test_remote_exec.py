"""Asking Python 3.14 to run a script; a shell script stands in for its program: what it is asked, what becomes of the script."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from harness.collectors.attach import remote_exec
from harness.collectors.attach.target import Target
from harness.core.handles import PythonRuntime

_WELL = 'echo "$4 $5" >> "$0.asked"'


def _target(directory: Path, program: str, version: tuple[int, int] = (3, 14), root: str = "") -> Target:
    executable = directory / "python3.14"
    executable.write_text(f"#!/bin/sh\n{program}\n")
    executable.chmod(0o755)
    return Target(os.getpid(), PythonRuntime(executable, version), directory, directory / "_inject.so", root)


def _asked(directory: Path) -> list[str]:
    return (directory / "python3.14.asked").read_text().splitlines()


def test_the_targets_own_program_asks_it_and_nothing_stays(tmp_path: Path) -> None:
    target, script = _target(tmp_path, _WELL), tmp_path / "script.py"
    assert asyncio.run(remote_exec.ask(target, script, "pass")) == ""
    assert script.read_text() == "pass"
    assert script.stat().st_mode & 0o777 == 0o644, "the target may be another user's"
    asyncio.run(remote_exec.take_back(target, script, ran=True))
    assert _asked(tmp_path) == [f"{os.getpid()} {script}"]
    assert not script.exists()


def test_what_was_not_run_in_time_is_taken_back_before_its_script_goes(tmp_path: Path) -> None:
    target, script = _target(tmp_path, f'{_WELL}; ls "{tmp_path}/script.py" >> "$0.asked"'), tmp_path / "script.py"
    asyncio.run(remote_exec.ask(target, script, "pass"))
    asyncio.run(remote_exec.take_back(target, script, ran=False))
    assert _asked(tmp_path) == [f"{os.getpid()} {script}", str(script), f"{os.getpid()} /dev/null", str(script)]
    assert not script.exists()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("echo Traceback >&2; echo 'PermissionError: not allowed' >&2; exit 1", "PermissionError: not allowed"),
        ("exit 3", "exit code 3"),
        ("exec sleep 60", "sys.remote_exec did not return"),
    ],
)
def test_why_it_could_not_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, said: str) -> None:
    monkeypatch.setattr(remote_exec, "_CALL_S", 0.5 if "sleep" in program else 20.0)
    assert asyncio.run(remote_exec.ask(_target(tmp_path, program), tmp_path / "script.py", "pass")) == said


def test_no_place_for_the_script_and_no_program(tmp_path: Path) -> None:
    target = _target(tmp_path, _WELL)
    assert "No such file or directory" in asyncio.run(remote_exec.ask(target, tmp_path / "gone" / "script.py", "pass"))
    target.python.executable.unlink()
    assert "No such file or directory" in asyncio.run(remote_exec.ask(target, tmp_path / "script.py", "pass"))


def test_older_ones_and_those_in_containers_are_not_asked(tmp_path: Path) -> None:
    assert remote_exec.possible(_target(tmp_path, _WELL))
    assert not remote_exec.possible(_target(tmp_path, _WELL, (3, 13)))
    assert not remote_exec.possible(_target(tmp_path, _WELL, root="/proc/1/root"))
