"""Which profiles a name stands for, and blame over what records keep."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.analysis.blame import blame_runs
from harness.core import stacks
from harness.core.errors import UsageError
from harness.core.stacks import Frame, Held, Stack, StackProfile
from harness.record import profile_files
from harness.record.models import Experiment, ExperimentRun
from harness.record.reader import RunRecord
from tests.records import RecordBuilder


def _run(root: Path, run_id: str, held: int | None, named: str | None = None) -> RunRecord:
    """A run that kept the stacks of a capture in which `grow` holds `held` bytes, and `same` 100; None: no capture."""
    builder = RecordBuilder(root / run_id, run_id=run_id)
    builder.phase("idle", "idle", 1.0, 2.0)
    profiles = root / run_id / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    if held is not None:
        peak: dict[Stack, Held] = {
            (Frame("grow", "/app/a.py", 1),): Held(held, 1),
            (Frame("same", "/app/b.py", 1),): Held(100, 1),
        }
        stacks.dump(StackProfile("memray", "x", {"peak": peak, "end": {}}), profiles / "memray-start-0.stacks.json.gz")
        builder.event(
            "memray",
            2.0,
            capture="profiles/memray-start-0.bin",
            stacks=named or "profiles/memray-start-0.stacks.json.gz",
        )
    return builder.write()


def test_a_name_is_a_file_a_folder_a_run_or_an_arm(tmp_path: Path) -> None:
    ids = [f"20260101-00000{number}-aaaa{letter}" for number, letter in enumerate("bcd")]
    records = [_run(tmp_path, run_id, 10 * number) for number, run_id in enumerate(ids)]
    kept = [record.path / "profiles" / "memray-start-0.stacks.json.gz" for record in records]
    assert profile_files.find(str(kept[0])) == [kept[0]]
    assert profile_files.find("aaaac", tmp_path) == [kept[1]]
    assert profile_files.find(str(records[2].path)) == [kept[2]]
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("b.bin", "a.bin", "notes.txt", "heap.pprof"):
        (folder / name).touch()
    assert [path.name for path in profile_files.find(str(folder))] == ["a.bin", "b.bin"]
    runs = [
        ExperimentRun(run_id=run_id, arm=arm, order=order, verdict="passed", exit_code=0)
        for order, (run_id, arm) in enumerate(zip(ids, ("base", "new", "base"), strict=True))
    ]
    experiment = Experiment(
        experiment_id="exp-1", scenario="x", started_at=datetime(2026, 1, 1, tzinfo=UTC), runs=runs, exit_code=0
    )
    place = tmp_path / "experiments" / "exp-1"
    place.mkdir(parents=True)
    (place / "experiment.json").write_text(experiment.model_dump_json(by_alias=True))
    assert profile_files.find("exp-1:base", tmp_path) == [kept[0], kept[2]]
    with pytest.raises(UsageError, match="experiment exp-1 has no runs of arm 'old'"):
        profile_files.find("exp-1:old", tmp_path)


def test_runs_without_a_capture_say_how_to_get_one(tmp_path: Path) -> None:
    record = _run(tmp_path, "20260101-000000-aaaaa", None)
    with pytest.raises(UsageError, match="kept no memory profile; run it with --memray launch or --memray attach"):
        profile_files.of_run(record)
    (record.path / "profiles" / "heap-settled-2.pprof").touch()
    assert profile_files.of_run(record).name == "heap-settled-2.pprof"
    (record.path / "profiles" / "memray-start-0.bin").touch()
    assert profile_files.of_run(record).name == "memray-start-0.bin"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UsageError, match="has no memory profiles in it"):
        profile_files.find(str(empty))


def test_an_event_may_not_lead_out_of_its_record(tmp_path: Path) -> None:
    outside = tmp_path / "outside.stacks.json.gz"
    stacks.dump(StackProfile("memray", "x", {"peak": {}, "end": {}}), outside)
    record = _run(tmp_path, "20260101-000000-aaaaa", 10, named="../outside.stacks.json.gz")
    assert profile_files.kept_stacks(record) is None


def test_runs_are_blamed_by_what_they_kept(tmp_path: Path) -> None:
    before = [_run(tmp_path, f"20260101-000000-aaaa{i}", held) for i, held in enumerate((1000, 1100))]
    after = [_run(tmp_path, f"20260101-000000-bbbb{i}", held) for i, held in enumerate((9000, 9100))]
    (row,) = blame_runs(before, after)
    assert (row.function, row.bytes.difference, row.bytes.certain, row.share) == ("grow", 8000, True, 1.0)
    assert blame_runs(before, [_run(tmp_path, "20260101-000000-ccccc", None)]) == []
