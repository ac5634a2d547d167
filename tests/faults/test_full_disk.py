"""The disk is full while a run records: it ends with one line, what was recorded stays readable, and nothing stays alive."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.process import leftover_cgroups, leftovers
from harness.record.reader import RunRecord

pytestmark = pytest.mark.cluster

_ROOM = "1200k"
_HARNESS = [sys.executable, "-m", "harness.cli.main"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with room for the beginning of a run."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a file system of a test's own needs root: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_run_whose_disk_is_full_is_told_and_keeps_what_it_had(small_disk: Path, tmp_path: Path) -> None:
    command = [
        *_HARNESS,
        "run",
        "secrets-8k",
        "--set",
        "secrets=3000",
        "--out",
        str(small_disk),
        "--history",
        str(tmp_path / "h"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    said = done.stdout + done.stderr
    assert done.returncode == 4, said
    assert "Traceback" not in said
    assert "a bug of" not in said
    assert "No space left on device" in said
    (path,) = (each.parent for each in small_disk.glob("*/run.json"))
    record = RunRecord(path)
    assert leftovers(path.name) == []
    assert leftover_cgroups(path.name) == []
    assert record.sql("SELECT count(*) FROM samples WHERE metric = 'memory.rss'")[0][0] > 5, (
        "what was recorded is there"
    )
    # make room, and it can be judged from what is there
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    again = subprocess.run([*_HARNESS, "report", str(path), "--recompute"], capture_output=True, text=True, timeout=120)
    assert again.returncode == 0, again.stderr
    shown = RunRecord(path).show()
    assert shown.verdict in ("error", "interrupted")
