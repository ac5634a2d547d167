"""Tests that are tried again where the host withheld the CPU: by real sessions of pytest with a clock that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import stolen

CONFTEST = """
import tests.stolen as stolen
from tests.stolen import pytest_runtest_protocol, pytest_terminal_summary
readings = iter([(0.0, 0.0), ({stolen_s}, 10.0)] * 9)
stolen.reading = lambda: next(readings)
"""
TESTS = """
import pathlib, pytest
marks = pathlib.Path(__file__).parent

@pytest.fixture
def fresh():
    with (marks / "made").open("a") as file:
        file.write("x")

def test_late(fresh):
    again = (marks / "late").exists()
    (marks / "late").touch()
    assert again, "it was late"

def test_wrong():
    with (marks / "wrong").open("a") as file:
        file.write("x")
    assert False, "it is wrong"
"""


@pytest.mark.parametrize(("stolen_s", "late", "tries"), [(0.9, "failed", 1), (1.1, "passed", 2)])
def test_a_failure_of_a_machine_that_had_its_cpu_stands_and_any_second_one(
    tmp_path: Path, stolen_s: float, late: str, tries: int
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.format(stolen_s=stolen_s))
    (tmp_path / "test_here.py").write_text(TESTS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rA",
        "--rootdir",
        str(tmp_path),
        str(tmp_path),
    ]
    env = os.environ | {"PYTHONPATH": str(Path(stolen.__file__).parents[1]), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{late.upper()} test_here.py::test_late" in done.stdout
    assert "FAILED test_here.py::test_wrong" in done.stdout
    assert len((tmp_path / "wrong").read_text()) == tries
    assert len((tmp_path / "made").read_text()) == tries, "fixtures are made anew"
    assert f"the host withheld {stolen_s / 10:.0%} of it while the test ran" in done.stdout
    told = "test_here.py::test_late: host took 11%; first it said: " in done.stdout
    assert told == (tries == 2), done.stdout


def test_each_try_has_the_whole_time_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.format(stolen_s=1.1))
    (tmp_path / "test_here.py").write_text(
        "import pathlib, time\n"
        "def test_long():\n"
        "    with pathlib.Path(__file__).with_name('tries').open('a') as file: file.write('x')\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--timeout", "2", "--rootdir", str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(Path(stolen.__file__).parents[1]), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, env=env, cwd=tmp_path)
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "tries").read_text() == "xx"
    assert "Timeout (>2.0s)" in done.stdout


def test_shares_are_of_all_that_passed() -> None:
    assert stolen.stolen((1.0, 10.0), (2.0, 14.0)) == 0.25
    assert stolen.stolen((1.0, 10.0), (1.0, 10.0)) == 0.0
    withheld_s, counted_s = stolen.reading()
    assert 0 <= withheld_s < counted_s
