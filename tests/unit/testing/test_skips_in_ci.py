"""In CI a skip that is not listed is a failure, however it came about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import skips

ROOT = Path(__file__).resolve().parents[3]
_TESTS = """
import pytest

@pytest.mark.skipif(True, reason="no cargo here")
def test_by_mark(): pass

def test_by_itself(): pytest.skip("no cargo here")

@pytest.fixture
def needed(): pytest.skip("no cargo here")

def test_by_fixture(needed): pass

def test_listed(): pytest.skip("this machine does not see the node's cgroups")

@pytest.mark.xfail(reason="known", strict=True)
def test_expected(): raise ValueError

def test_runs(): pass
"""


@pytest.mark.parametrize(
    ("ci", "counted"),
    [
        ("true", {"passed": 1, "failed": 1, "errors": 3, "skipped": 1, "xfailed": 1}),
        ("", {"passed": 1, "skipped": 5, "xfailed": 1}),
        ("false", {"passed": 1, "skipped": 5, "xfailed": 1}),
    ],
)
def test_every_way_of_skipping_is_seen(ci: str, counted: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(_TESTS)
    (tmp_path / "test_whole.py").write_text('import pytest\npytest.skip("no cargo here", allow_module_level=True)\n')
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", "--noconftest"),
            *("--continue-on-collection-errors", "--rootdir", str(tmp_path), str(tmp_path)),
        ],
        capture_output=True, text=True, timeout=60, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "CI": ci},
    )  # fmt: skip
    line = done.stdout.splitlines()[-1]
    assert {word: int(count) for count, word in _counts(line)} == counted, done.stdout
    assert (done.returncode == 0) == (ci != "true")
    assert ("skipped in CI: no cargo here" in done.stdout) == (ci == "true")


def _counts(line: str) -> list[tuple[str, str]]:
    words = line.strip("= ").partition(" in ")[0].split(", ")
    return [(word.split()[0], word.split()[1]) for word in words]


def test_a_listed_reason_is_the_whole_reason() -> None:
    assert not skips.refused("this machine does not see the node's cgroups")
    assert skips.refused("this machine does not see the node's cgroups, or so it says")
    assert all(why for why in skips.ALLOWED.values())
