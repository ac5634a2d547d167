"""The disk is full while a run records: that is the reason that is kept, and what was written before stays whole."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.core.clock import RunClock
from harness.record.reader import RunRecord
from harness.record.writer import RESERVE, RESERVE_BYTES, RecordWriter, write_atomically
from tests.faults.faulted_run import HARNESS, LIMIT_S, SETTLE, FaultedRun, requests_recorded, scenario

_ENDLESS = {"create": {"kind": "Secret", "count": 20_000, "size": "500B", "rate": "100/s"}}


@contextmanager
def _disk(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own with little room."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a file system of a test's own needs root: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def _fill(disk: Path) -> Path:
    """Take all the room there is."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(b"x" * 4096):
                pass
        except OSError:
            pass
    return disk / "filler"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with _disk(tmp_path / "small", "768k") as disk:
        yield disk


def test_what_was_written_before_the_disk_was_full_stays_whole(small_disk: Path) -> None:
    async def write() -> RecordWriter:
        writer = RecordWriter(small_disk / "run", RunClock())
        writer.event("warning", message="before")
        for value in range(100):
            writer.sample("memory", "memory.rss", value)
        await asyncio.to_thread(writer.flush)
        _fill(small_disk)
        for value in range(50_000):
            writer.sample("memory", "memory.rss", value * 1.000001)
        for _ in range(200):
            writer.event("warning", message="x" * 500)
        await writer.close()
        return writer

    writer = asyncio.run(write())
    assert writer.failure in [
        f"could not write the record: {what}: No space left on device" for what in ("samples", "events.jsonl")
    ]
    record = RunRecord(small_disk / "run")
    assert record.sql("SELECT count(*) FROM samples") == [(100,)]
    assert next(record.events())["message"] == "before"
    assert list((small_disk / "run" / "samples").glob("*.tmp")) == []
    assert not (small_disk / "run" / RESERVE).exists()


def test_room_is_kept_for_what_a_run_says_at_its_end(small_disk: Path) -> None:
    async def write() -> RecordWriter:
        writer = RecordWriter(small_disk / "run", RunClock())
        for value in range(100):
            writer.sample("memory", "memory.rss", value)
        _fill(small_disk)
        await asyncio.to_thread(writer.flush)
        assert writer.failure == "could not write the record: samples: No space left on device"
        await writer.close()
        write_atomically(small_disk / "run" / "run.json", "x" * (RESERVE_BYTES // 4))
        return writer

    asyncio.run(write())
    assert RunRecord(small_disk / "run").sql("SELECT count(*) FROM samples") == [(100,)]
    with pytest.raises(OSError, match="No space left"):
        RecordWriter(small_disk / "another", RunClock())


@pytest.mark.cluster
def test_a_run_whose_disk_fills_up_ends_and_says_so(tmp_path: Path) -> None:
    with _disk(tmp_path / "runs", "16m") as disk:
        with FaultedRun(tmp_path, scenario(_ENDLESS, SETTLE)) as run:
            run.until(requests_recorded)
            filler = _fill(disk)
            code, shown = run.finish()
            run.assert_nothing_left()
        assert (code, shown.verdict) == (4, "error"), shown.reasons
        assert "could not write the record: " in shown.reasons[0]
        assert "No space left on device; make room, or use another folder: --out" in shown.reasons[0]
        assert "no report" in run.said
        record = RunRecord(run.record.path)
        assert record.run.state == "sealed"
        kept = record.sql("SELECT count(*) FROM requests WHERE error IS NULL")[0][0]
        assert kept > 0
        filler.unlink()
        command = [*HARNESS, "report", str(record.path), "--recompute"]
        again = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (again.returncode, again.stderr) == (0, "")
        assert (record.path / "report.html").is_file()
        begun = {path.name for path in disk.iterdir()}
        _fill(disk)
        with FaultedRun(tmp_path, scenario(_ENDLESS)) as second:
            assert second.process.wait(LIMIT_S) == 4
        (line,) = second.said.splitlines()
        assert "the record cannot be begun: No space left on device; make room there" in line
        assert {path.name for path in disk.iterdir() if (path / "run.json").exists()} <= begun


def test_a_file_that_finds_no_room_leaves_the_old_one_and_no_half_of_itself(small_disk: Path) -> None:
    path = small_disk / "run.json"
    write_atomically(path, "old")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "x" * (1 << 20))
    assert [(each.name, each.read_text()) for each in small_disk.iterdir()] == [("run.json", "old")]
