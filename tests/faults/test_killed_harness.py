"""SIGKILL to the harness in every part of a run: nothing of it stays alive, and what it had recorded can be read."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from harness.analysis.verdict import judge
from harness.process import leftovers
from harness.record.reader import RunRecord
from tests.faults.faulted_run import HARNESS, SECRETS, SETTLE, FaultedRun, phase_began, requests_recorded, scenario

pytestmark = pytest.mark.cluster

# The subject takes a moment to be ready, and the load goes on for longer than any test waits.
SLOW_START = {"command": ["sh", "-c", "sleep 1; echo up; exec sleep 600"], "ready": {"log": "^up$"}}
ENDLESS = {"create": {"kind": "Secret", "count": 20_000, "size": "500B", "rate": "100/s"}}
RESTLESS = {"settle": {"quiet_for": "60s", "timeout": "200s"}}
"""A settle that is not over when the kill comes, however late that is."""


def _cluster_starts(record: RunRecord) -> bool:
    return any("kube-apiserver" in one.command for one in leftovers(record.path.name))


def _setup(record: RunRecord) -> bool:
    return bool(record.run.cluster)


def _subject_starts(record: RunRecord) -> bool:
    return (record.path / "subject.log").exists()


def _reporting(record: RunRecord) -> bool:
    return record.run.state == "sealed"


@pytest.mark.parametrize(
    ("reached", "load"),
    [
        (_cluster_starts, (ENDLESS, SETTLE)),
        (_setup, (ENDLESS, SETTLE)),
        (_subject_starts, (ENDLESS, SETTLE)),
        (requests_recorded, (ENDLESS, SETTLE)),
        (phase_began("settle-1"), (SECRETS, RESTLESS)),
        (_reporting, (SECRETS, SETTLE)),
    ],
    ids=["cluster-start", "setup", "subject-start", "load", "settle", "reporting"],
)
def test_a_kill_leaves_a_readable_record_and_nothing_else(
    reached: Callable[[RunRecord], bool], load: Sequence[Mapping[str, object]], tmp_path: Path
) -> None:
    with FaultedRun(tmp_path, scenario(*load, subject=SLOW_START)) as run:
        run.until(reached)
        alive = leftovers(run.run_id)
        run.kill()
        assert alive or reached is _reporting, "there was something to end"
        run.assert_nothing_left()
    record = RunRecord.open(run.record.path)
    shown = subprocess.run(
        [*HARNESS, "show", str(record.path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (shown.returncode, shown.stderr) == (0, "")
    if reached is _reporting:
        assert "PASSED" in shown.stdout, "the facts were whole: the verdict is made of them"
        assert judge(record).verdict == "passed"
    else:
        assert "INTERRUPTED" in shown.stdout
        assert "the harness went away before the run ended" in shown.stdout
        assert judge(record).exit_code == 130
        assert record.show().verdict == "interrupted"
    if reached is requests_recorded:
        assert record.sql("SELECT count(*) FROM requests WHERE error IS NULL")[0][0] > 0
        assert record.sql("SELECT count(*) FROM samples WHERE metric = 'memory.rss'")[0][0] > 0
