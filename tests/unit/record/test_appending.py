"""A run under way, seen from another process: its subject, events added to its record, and runs that are over."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from harness.core.clock import RunClock
from harness.core.errors import UsageError
from harness.record.appending import LivingRun
from harness.record.models import Owner
from harness.record.reader import RunRecord
from harness.record.writer import RecordWriter
from tests import records


def _written(directory: Path, **overrides: object) -> RunRecord:
    builder = records.RecordBuilder(directory / "run")
    builder.phase("start", "start", 0, 1)
    builder.phase("flip", "flip", 2, None)
    builder.event("phase", 2.0, state="started", name="flip")
    return builder.write(**overrides)


def _started(record: RunRecord, t_ns: int, **fields: object) -> None:
    line = {"t_ns": t_ns, "type": "subject_started", "runtime": "python", **fields}
    with (record.path / "events.jsonl").open("a") as events:
        events.write(json.dumps(line) + "\n")


def test_a_run_that_is_over_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^run \S+ is over \(\w+\): there is nothing to attach to; harness report"):
        LivingRun.open(_written(tmp_path))


def test_a_run_whose_harness_is_gone_is_refused(tmp_path: Path) -> None:
    gone = Owner(pid=2**22 - 1, started_ticks=1, boot_id="x")
    with pytest.raises(UsageError, match=r"is over \(interrupted\)"):
        LivingRun.open(_written(tmp_path, state="running", owner=gone))


def test_a_subject_that_is_not_there_is_told(tmp_path: Path) -> None:
    record = _written(tmp_path, state="running")
    with pytest.raises(UsageError, match="has not started yet"):
        LivingRun.open(record)
    _started(record, 1, pid=None, monotonic_ns=1)
    with pytest.raises(UsageError, match="does not see its process"):
        LivingRun.open(record)
    _started(record, 1, pid=7, monotonic_ns=1)
    with (record.path / "events.jsonl").open("a") as events:
        events.write(json.dumps({"t_ns": 3, "type": "subject_ended"}) + "\n")
    with pytest.raises(UsageError, match="has ended"):
        LivingRun.open(record)


def test_the_newest_incarnation_is_the_subject_and_events_have_run_time_and_phase(tmp_path: Path) -> None:
    record = _written(tmp_path, state="running")
    now = time.monotonic_ns()
    _started(record, 1_000, pid=7, monotonic_ns=now - 9_000)
    _started(record, 5_000, pid=8, monotonic_ns=now - 5_000)
    run = LivingRun.open(record)
    run.event("attach", window="hand-1")
    event = list(record.events("attach"))[-1]
    assert run.subject["pid"] == 8
    assert (event["phase"], event["window"]) == ("flip", "hand-1")
    assert event["t_ns"] >= time.monotonic_ns() - (now - 10_000) - 60 * 10**9
    assert event["t_ns"] <= time.monotonic_ns() - (now - 10_000)
    assert not run.over


def _container(record: RunRecord, **fields: object) -> None:
    with (record.path / "events.jsonl").open("a") as events:
        events.write(json.dumps({"t_ns": 2, "type": "container_started", **fields}) + "\n")


def test_of_a_pod_the_container_that_runs_now_is_the_subject(tmp_path: Path) -> None:
    record = _written(tmp_path, state="running")
    _container(record, pid=7)
    _started(record, 1, pid=7, monotonic_ns=1, in_pod=True, folder="/somewhere")
    assert LivingRun.open(record).subject["pid"] == 7
    _container(record, pid=9)  # the kubelet has started it again
    assert LivingRun.open(record).subject["pid"] == 9
    _container(record, pid=None)
    with pytest.raises(UsageError, match="does not see its process"):
        LivingRun.open(record)


def test_a_go_program_is_asked_by_its_url_wherever_it_is(tmp_path: Path) -> None:
    record = _written(tmp_path, state="running")
    _started(record, 1, pid=None, monotonic_ns=1, in_pod=True, runtime="go", pprof="http://127.0.0.1:1/debug/pprof")
    assert LivingRun.open(record).subject["pprof"] == "http://127.0.0.1:1/debug/pprof"
    _started(record, 2, pid=None, monotonic_ns=1, in_pod=True, runtime="go", pprof=None)
    with pytest.raises(UsageError, match="does not see its process"):
        LivingRun.open(record)


def test_lines_of_two_writers_do_not_tear(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "run", RunClock())
    (writer.directory / "run.json").write_text(
        (_written(tmp_path / "other", state="running").path / "run.json").read_text()
    )
    writer.event("phase", state="started", name="start")
    writer.event("subject_started", pid=os.getpid(), monotonic_ns=time.monotonic_ns())
    run = LivingRun.open(RunRecord(writer.directory))
    for number in range(50):
        writer.event("ours", number=number, text="x" * 3000)
        run.event("theirs", number=number, text="y" * 3000)
    asyncio.run(writer.close())
    lines = (writer.directory / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["type"] for line in lines[2:]] == ["ours", "theirs"] * 50
