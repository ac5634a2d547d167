"""`harness profile --run` where the subject cannot be looked into: one line, and nothing is written."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from harness.cli import profile_run
from harness.core.errors import UsageError
from tests import records


def test_a_pod_that_shares_no_folder_with_us_is_told_with_what_to_do(tmp_path: Path) -> None:
    builder = records.RecordBuilder(tmp_path / "run")
    builder.phase("start", "start", 0, 1)
    record = builder.write(state="running")
    told = [
        {"t_ns": 1, "type": "container_started", "pid": 7},
        {
            "t_ns": 2, "type": "subject_started", "runtime": "python", "pid": 7, "in_pod": True, "folder": None,
            "monotonic_ns": time.monotonic_ns(),
        },
    ]  # fmt: skip
    with (record.path / "events.jsonl").open("a") as events:
        events.writelines(json.dumps(each) + "\n" for each in told)
    before = (record.path / "events.jsonl").read_text()
    with pytest.raises(UsageError, match=r"shares no folder with this machine.*--memray launch"):
        profile_run.of_run(str(record.path), 1.0, None, json=True)
    assert (record.path / "events.jsonl").read_text() == before
    assert list((record.path / "profiles").iterdir()) == []
