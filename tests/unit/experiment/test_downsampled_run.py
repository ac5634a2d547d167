"""What the runner does at the very end of a long run, and where there is no room for it."""

from __future__ import annotations

import asyncio
import errno
import functools
from pathlib import Path
from typing import Any

import pytest

from harness.experiment import runner
from harness.record.downsampling import downsample
from harness.record.models import Run
from harness.record.reader import RunRecord
from tests.records import RecordBuilder


class _Writer:
    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def save_run(self, run: Run) -> None:
        (self._directory / "run.json").write_text(run.model_dump_json(by_alias=True))


class _Observer:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def phase_ended(self, name: str, how: str) -> None:
        self.told.append((name, how))


def _record(directory: Path) -> RunRecord:
    record = RecordBuilder(directory)
    record.phase("create-Secret", "create", 0, 600, kind="Secret", requested=1, done=1, failed=0)
    record.samples("memory", "memory.rss", [(t, t % 50) for t in range(600)])
    return record.write()


def _ended(record: RunRecord) -> tuple[RunRecord, list[tuple[str, str]]]:
    writer: Any = _Writer(record.path)
    observer: Any = _Observer()
    assert record.sql("SELECT count(*) FROM samples") == [(600,)]  # as the verdict's queries did, before
    left = asyncio.run(runner._downsampled(record, record.run, writer, observer))
    return left, observer.told


def test_the_record_that_stays_is_read_from_the_tables_that_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "downsample", functools.partial(downsample, most=100))
    left, told = _ended(_record(tmp_path / "run"))
    assert left.run.downsampled is not None
    assert left.sql("SELECT count(*), max(value) FROM samples") == [(left.run.downsampled.samples_after, 49.0)]
    assert told == []


def test_without_room_for_fewer_samples_all_stay_and_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runner, "downsample", full)
    left, told = _ended(_record(tmp_path / "run"))
    assert left.sql("SELECT count(*) FROM samples") == [(600,)]
    assert told == [("all samples stay", "No space left on device")]
