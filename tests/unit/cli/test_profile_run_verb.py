"""`harness profile --run` where the subject cannot be looked into: one line, and nothing is written."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from harness.cli import profile_run
from harness.core.errors import UsageError
from harness.record.reader import RunRecord
from tests import records


def _started(**more: object) -> dict[str, object]:
    now = time.monotonic_ns()
    return {"t_ns": 2, "type": "subject_started", "runtime": "python", "pid": 7, "monotonic_ns": now, **more}


def _tell(record: RunRecord, *events: dict[str, object]) -> None:
    with (record.path / "events.jsonl").open("a") as file:
        file.writelines(json.dumps(each) + "\n" for each in events)


def test_a_second_look_beside_a_window_of_the_runs_own_is_refused_with_its_name(tmp_path: Path) -> None:
    builder = records.RecordBuilder(tmp_path / "run")
    builder.phase("start", "start", 0, 1)
    record = builder.write(state="running")
    window = {
        "t_ns": 3,
        "type": "attach",
        "collector": "on-demand",
        "window": "1",
        "tool": "memray",
        "why": "phase flip",
    }
    _tell(record, _started(), window)
    with pytest.raises(UsageError, match=r"already: window 1, phase flip.*try again when that is over"):
        profile_run.of_run(str(record.path), 1.0, None, json=True)


def test_a_pod_that_shares_no_folder_with_us_is_told_with_what_to_do(tmp_path: Path) -> None:
    builder = records.RecordBuilder(tmp_path / "run")
    builder.phase("start", "start", 0, 1)
    record = builder.write(state="running")
    _tell(record, {"t_ns": 1, "type": "container_started", "pid": 7}, _started(in_pod=True, folder=None))
    before = (record.path / "events.jsonl").read_text()
    with pytest.raises(UsageError, match=r"shares no folder with this machine.*--memray launch"):
        profile_run.of_run(str(record.path), 1.0, None, json=True)
    assert (record.path / "events.jsonl").read_text() == before
    assert list((record.path / "profiles").iterdir()) == []
