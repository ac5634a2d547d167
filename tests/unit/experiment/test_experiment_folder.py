"""What lies in the user's folder is the user's: our own processes take no module from there."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from harness.core.errors import RunFault
from harness.experiment import subjects
from harness.experiment.load import LoadGenerator
from harness.scenario.model import Subject
from tests.collecting import ListSink


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory whose files are called as modules that we need."""
    for name in ("html", "queue", "harness", "loadgen"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user was imported')\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_load_generator_imports_nothing_from_the_users_folder(folder: Path) -> None:
    (folder / "run").mkdir()
    with pytest.raises(RunFault) as fault:  # the plan is none
        asyncio.run(
            LoadGenerator.start(
                {"run_id": "20261122-000000-aaaaa", "phases": []},
                run_dir=folder / "run",
                sink=ListSink(),
                on_rows=lambda _: None,
            )
        )
    assert "of the user" not in str(fault.value)


def test_a_reference_controller_imports_nothing_from_the_users_folder(folder: Path) -> None:
    command = subjects.build(Subject.model_validate({"controller": "fleet"}), None).command
    module = command.index("harness.controllers.fleet")
    done = subprocess.run([*command[: module + 1], "--help"], capture_output=True, text=True, timeout=60, cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
