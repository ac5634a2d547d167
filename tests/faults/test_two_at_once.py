"""Two runs at the same time, into the same folder and history: neither knows of the other."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from harness.process import leftovers
from harness.record.history import History
from harness.record.reader import RunRecord
from tests.faults.faulted_run import SETTLE, FaultedRun, scenario

pytestmark = pytest.mark.cluster

SLOWER = {"create": {"kind": "Secret", "count": 60, "size": "500B", "rate": "15/s"}}
METRICS = {
    "command": ["sh", "-c", "echo up {port:metrics}; exec sleep 600"],
    "ready": {"log": "^up"},
    "memory_limit": "64Mi",
}


def test_two_runs_into_one_folder_both_complete_and_do_not_mix(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    with ExitStack() as stack:
        both = [
            stack.enter_context(
                FaultedRun(tmp_path / name, scenario(SLOWER, SETTLE, subject=METRICS), "--out", str(shared))
            )
            for name in ("one", "other")
        ]
        ends = [run.finish() for run in both]
    shown = [show for _, show in ends]
    assert [(code, show.verdict) for code, show in ends] == [(0, "passed")] * 2, [show.reasons for show in shown]
    assert [item.command for show in shown for item in leftovers(show.run_id)] == []
    assert [show.path for show in shown] == [str(shared / show.run_id) for show in shown]
    first, second = (RunRecord(Path(show.path)) for show in shown)
    ends_at = [record.run.ended_at for record in (first, second) if record.run.ended_at is not None]
    overlap = min(ends_at) - max(record.run.started_at for record in (first, second))
    assert overlap.total_seconds() > 3, "they were not at the same time"
    for part in ("run_id", "namespace"):
        assert len({getattr(record.run, part) for record in (first, second)}) == 2, part
    assert len({urlsplit(str(record.run.cluster["server"])).port for record in (first, second)}) == 2
    assert len({(record.path / "subject.log").read_text() for record in (first, second)}) == 2, "a port for each"
    names = [{name for (name,) in record.sql("SELECT DISTINCT name FROM requests")} for record in (first, second)]
    assert [len(each) for each in names] == [60, 60]
    assert names[0].isdisjoint(names[1])
    for record in (first, second):
        assert record.sql("SELECT max(value) FROM samples WHERE metric = 'objects'") == [(60,)]
    known = {entry.id for entry in History(shared / "history").entries("memory.rss.peak")}
    assert known == {show.run_id for show in shown}
