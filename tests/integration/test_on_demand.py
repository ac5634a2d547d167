"""Profiling on demand on a real control plane: a window of a phase, one by hand from another process, and what they leave."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.process import leftovers
from harness.record import schemas
from harness.record.reader import RunRecord
from harness.record.windows import windows
from harness.subject import limits
from tests.integration.harness_run import HARNESS, LIMIT_S, run

CAPABILITY = limits.probe()
pytestmark = pytest.mark.cluster

_SCENARIO: dict[str, Any] = {
    "name": "on-demand",
    "summary": "Secrets in a window, a rest in which somebody looks by hand.",
    "subject": {"controller": "fleet"},
    "load": [
        {"create": {"kind": "Secret", "count": 40, "rate": "10/s"}},
        {"settle": {"quiet_for": "1s"}},
        {"read": {"kind": "Secret", "count": 300, "rate": "10/s"}},
        {"settle": {"quiet_for": "1s"}},
    ],
    "profile": {"windows": ["create-Secret"], "triggers": ["tasks > 1"], "at_most": 1, "cool_down": "1h"},
    "expect": ["memory.rss.peak < 2Gi", "memory.rss.idle < 2Gi"],
}


def _wait_for(directory: Path, phase: str) -> RunRecord:
    """The record of the run below `directory`, once a phase of it has begun."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until:
        for path in directory.glob("*/run.json"):
            record = RunRecord(path.parent)
            if any(event["name"] == phase for event in record.events("phase")):
                return record
        time.sleep(0.2)
    raise AssertionError(f"{phase} did not begin")


def test_windows_by_phase_and_by_hand_are_all_that_was_profiled(tmp_path: Path) -> None:
    path = tmp_path / "on-demand.yaml"
    path.write_text(json.dumps(_SCENARIO))
    command = [*HARNESS, "run", str(path), "--out", str(tmp_path / "runs"), "--json", "--no-history"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        try:
            record = _wait_for(tmp_path / "runs", "read-Secret")
            name = record.path.name
            hand = [*HARNESS, "profile", "--run", name, "--for", "2s", "--out", str(tmp_path / "runs"), "--json"]
            looked = subprocess.run(hand, capture_output=True, text=True, timeout=LIMIT_S)
            out, _ = running.communicate(timeout=LIMIT_S)
        finally:
            running.kill()
    assert looked.returncode == 0, looked.stderr
    shown = json.loads(looked.stdout)
    jsonschema.validate(shown, json.loads((schemas.DIRECTORY / "profile.v1.json").read_text()))
    assert (record.path / shown["capture"]).is_file()

    found = windows(record)
    assert [window.by_hand for window in found].count(True) == 1
    created = record.run.phase("create-Secret")
    assert created is not None
    assert created.ended_ns is not None
    middle = (created.started_ns + created.ended_ns) // 2
    assert any(each.started_ns <= middle <= (each.ended_ns or 0) for each in found), found
    assert [event["expr"] for event in record.events("trigger")][:1] == ["tasks > 1"]
    assert all(window.ended_ns is not None for window in found)
    result = json.loads(out.splitlines()[-1])
    assert {item["expr"]: item["ok"] for item in result["expectations"]}["memory.rss.peak < 2Gi"] is None
    assert result["warnings"][0].startswith("profiled by memray in ")
    captured = [event["window"] for event in record.events("memray")]
    assert sorted(captured) == sorted(window.number for window in found)
    assert "Profiled only in these windows" in (record.path / "report.html").read_text()
    assert [item.command for item in leftovers(name)] == []

    late = subprocess.run(hand, capture_output=True, text=True, timeout=LIMIT_S)
    assert late.returncode == 2
    assert late.stderr.count("\n") == 1
    assert f"run {name} is over" in late.stderr


def test_a_go_subject_is_read_at_both_ends_of_a_window(tmp_path: Path) -> None:
    scenario = _SCENARIO | {
        "name": "on-demand-go",
        "subject": {"controller": "native-go"},
        "load": _SCENARIO["load"][:2],
        "profile": {"windows": ["create-Secret"]},
    }
    code, shown, record = run(tmp_path, scenario, "--no-history")
    # A load generator that was held up makes the run invalid, and rightly; what was looked at is the same.
    late = [reason for reason in shown["reasons"] if "could not keep up" in reason]
    assert (code, shown["reasons"]) == (3 if late else 0, late)
    assert all(item["ok"] for item in shown["expectations"])
    (window,) = windows(record)
    assert (window.tool, window.why, window.ended_why) == ("pprof", "phase create-Secret", "the phase is over")
    kinds = [event["kind"] for event in record.events("profile")]
    assert (kinds.count("memory"), kinds.count("goroutines")) == (2, 2)
    assert kinds.count("process_cpu") >= 1
    assert len(list((record.path / "profiles").glob("heap-window-1-*.pprof"))) == 2


@pytest.mark.skipif(not CAPABILITY.ok, reason=f"no memory limits here: {CAPABILITY.sentence}")
def test_a_window_looks_into_both_replicas(tmp_path: Path) -> None:
    scenario = {
        "name": "both",
        "summary": "Two replicas, and a window in which both are looked into.",
        "subject": {"controller": "fleet", "replicas": 2, "memory_limit": "256Mi"},
        "load": [{"create": {"kind": "Secret", "count": 30, "rate": "10/s"}}, {"settle": {"quiet_for": "500ms"}}],
        "profile": {"windows": ["create-Secret"]},
    }
    _, _, record = run(tmp_path, scenario)
    (opened,) = (event for event in record.events("attach") if event.get("window"))
    pids = {each["replica"]: each["pid"] for each in opened["replicas"]}
    assert set(pids) == {0, 1}
    assert len(set(pids.values())) == 2
    captured = {event["replica"]: event for event in record.events("memray")}
    assert set(captured) == {0, 1}
    for event in captured.values():
        assert (event["window"], event["attached"]) == ("1", "create-Secret")
        assert (record.path / event["capture"]).is_file()
        assert event["peak_bytes"] > 0
    assert [event["message"] for event in record.events("warning") if event.get("source") == "on-demand"] == []
