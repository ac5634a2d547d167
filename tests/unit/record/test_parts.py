"""Many small parts become a large one, and at no moment is a row missing or there twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.core.clock import RunClock
from harness.record import parts
from harness.record.reader import RunRecord
from harness.record.tables import PartWriter
from harness.record.writer import RecordWriter

_COUNT = parts.FEW + 5


def _written(directory: Path, count: int = _COUNT) -> Path:
    writer = PartWriter(directory, "samples")
    for number in range(count):
        rows = [(number * 10 + each, "load", "s", f"m.{each}", "{}", float(number)) for each in range(3)]
        writer.write(rows)
    writer.close()
    return directory / "samples"


def _sum(directory: Path) -> tuple[int, float]:
    return RunRecord(directory).sql("SELECT count(*), sum(t_ns * value) FROM samples")[0]


def test_parts_of_a_long_run_become_one_sorted_by_series(tmp_path: Path) -> None:
    folder = _written(tmp_path)
    before = _sum(tmp_path)
    assert parts.merge(tmp_path, "samples") == folder / f"part-00000-{_COUNT - 1:05d}.parquet"
    assert [path.name for path in folder.iterdir()] == [f"part-00000-{_COUNT - 1:05d}.parquet"]
    assert _sum(tmp_path) == before == (3 * _COUNT, before[1])
    rows = RunRecord(tmp_path).sql("SELECT metric, t_ns FROM samples")
    assert rows == sorted(rows)


def test_few_parts_stay_as_they_are(tmp_path: Path) -> None:
    folder = _written(tmp_path, 3)
    assert parts.merge(tmp_path, "samples") is None
    assert len(list(folder.iterdir())) == 3
    assert parts.merge(tmp_path, "requests") is None


def test_a_merge_that_was_killed_before_the_small_parts_went_counts_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _written(tmp_path)
    before = _sum(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_args, **_kwargs: None)
        parts.merge(tmp_path, "samples")
    assert len(list(folder.glob("part-*"))) == _COUNT + 1
    assert _sum(tmp_path) == before
    assert len(parts.parts_of(folder)) == 1


def test_a_merge_that_fails_leaves_all_parts(tmp_path: Path) -> None:
    folder = _written(tmp_path)
    (folder / "part-00003.parquet").write_bytes(b"no parquet")
    with pytest.raises(OSError, match="part-00003"):
        parts.merge(tmp_path, "samples")
    assert len(list(folder.iterdir())) == _COUNT


def test_parts_of_others_are_read_whatever_they_are_called(tmp_path: Path) -> None:
    folder = _written(tmp_path)
    before = _sum(tmp_path)
    (folder / "part-00002.parquet").rename(folder / "part-two.parquet")
    assert _sum(tmp_path) == before
    parts.merge(tmp_path, "samples")
    assert _sum(tmp_path) == before


def test_a_writer_that_closes_merges_what_is_many_and_goes_on_where_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def record(directory: Path) -> None:
        writer = RecordWriter(directory, RunClock())
        for number in range(_COUNT):
            writer.sample("s", "m", number, t_ns=number)
            writer.flush()
        await writer.close()
        await writer.close()

    asyncio.run(record(tmp_path / "good"))
    assert len(list((tmp_path / "good" / "samples").iterdir())) == 1

    def refuse(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("harness.record.writer.merge", refuse)
    asyncio.run(record(tmp_path / "full"))
    assert len(list((tmp_path / "full" / "samples").iterdir())) == _COUNT
    told = [event["message"] for event in RunRecord(tmp_path / "full").events("warning")]
    assert told[0] == "the parts of samples were not made into one: no space left"
