"""The disk is full while a run records: that is the reason that is kept, and what was written before stays whole."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.clock import RunClock
from harness.record.reader import RunRecord
from harness.record.writer import RecordWriter, write_atomically


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own with little room."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a file system of a test's own needs root: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_what_was_written_before_the_disk_was_full_stays_whole(small_disk: Path) -> None:
    async def write() -> RecordWriter:
        writer = RecordWriter(small_disk / "run", RunClock())
        writer.event("warning", message="before")
        for value in range(100):
            writer.sample("memory", "memory.rss", value)
        await asyncio.to_thread(writer.flush)
        with (small_disk / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(b"x" * 4096):
                    pass
            except OSError:
                pass
        for value in range(50_000):
            writer.sample("memory", "memory.rss", value * 1.000001)
        for _ in range(200):
            writer.event("warning", message="x" * 500)
        await writer.close()
        return writer

    writer = asyncio.run(write())
    assert writer.failure is not None
    assert "No space left" in writer.failure
    record = RunRecord(small_disk / "run")
    assert record.sql("SELECT count(*) FROM samples") == [(100,)]
    assert next(record.events())["message"] == "before"
    assert list((small_disk / "run" / "samples").glob("*.tmp")) == []


def test_a_file_that_finds_no_room_leaves_the_old_one_and_no_half_of_itself(small_disk: Path) -> None:
    path = small_disk / "run.json"
    write_atomically(path, "old")
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "x" * (1 << 20))
    assert [(each.name, each.read_text()) for each in small_disk.iterdir()] == [("run.json", "old")]
