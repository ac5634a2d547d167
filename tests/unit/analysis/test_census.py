"""What stayed: the baseline against the settled census, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.analysis.census import Census, census
from harness.analysis.facts import Facts
from harness.analysis.results import compute
from harness.record.models import CollectorFacts, EndingFacts
from harness.record.reader import RunRecord
from harness.report.results import grouped
from harness.report.tables import under_way
from tests import records

LOAD = {"kind": "Secret", "requested": 100, "done": 100, "failed": 0}
ON = [CollectorFacts(name=name, state="on") for name in ("tasks", "metrics", "memory", "oom", "latency")]


def _row(sort: str, name: str, count: int, frame: str | None = None, state: str | None = None) -> dict[str, object]:
    return {"sort": sort, "name": name, "state": state, "frame": frame, "count": count}


@pytest.fixture
def build(tmp_path: Path) -> records.RecordBuilder:
    made = records.RecordBuilder(tmp_path / "run")
    made.phase("start", "start", 0, 1)
    made.phase("idle", "idle", 1, 3)
    made.phase("create-Secret", "create", 3, 13, **LOAD)
    made.phase("settle", "settle", 13, 16, settled=True)
    made.phase("settled", "settled", 16, 18)
    made.samples("tasks", "tasks", [(2, 10.0), (12, 500.0), (17, 14.0)])
    return made


def _baseline(build: records.RecordBuilder) -> None:
    rows = [_row("task", "worker", 10, "get"), _row("thread", "pool-N", 1), _row("task", "starting", 2)]
    build.event("census", 0.9, rows=rows, reasons={})


def _settled(build: records.RecordBuilder, **reasons: str) -> RunRecord:
    rows = [
        _row("task", "worker", 9, "get", "waiting"), _row("task", "worker", 1, "put", "waiting"), _row("thread", "pool-N", 9),
        _row("task", "<leak>", 3, "sleep", "waiting"), _row("greenlet", "kept", 1),
    ]  # fmt: skip
    build.event("census", 15.9, rows=rows, reasons=reasons)
    return build.write(collectors=ON)


def test_names_of_what_stayed_most_first_in_results_and_report(build: records.RecordBuilder) -> None:
    _baseline(build)
    record = _settled(build, greenlet="greenlets are not seen")
    found = census(Facts(record))
    assert isinstance(found, Census)
    assert found.sentence == "<leak> +3, kept +1", (
        "workers are as many as before; threads are no tasks; others have gone"
    )
    results = compute(record)
    assert (results["tasks.stayed"].value, results["tasks.stayed"].detail) == (4.0, "<leak> +3, kept +1")
    assert (results["tasks.idle"].value, results["tasks.settled"].value) == (10.0, 14.0)
    lines = {line.name: line.note for _, group in grouped(results) for line in group}
    assert lines["tasks.stayed"] == "<leak> +3, kept +1"
    table = under_way(record)
    assert table is not None
    assert [row[:5] for row in table.rows] == [
        ["thread", "pool-N", "1", "9", "+8"], ["task", "<leak>", "0", "3", "+3"], ["greenlet", "kept", "0", "1", "+1"],
        ["task", "worker", "10", "10", "+0"], ["task", "starting", "2", "0", "-2"],
    ]  # fmt: skip
    assert table.rows[3][5] == "waiting get"
    assert "greenlets are not seen" in table.note


def test_without_a_baseline_there_is_a_reason_and_no_zero(build: records.RecordBuilder) -> None:
    result = compute(_settled(build))["tasks.stayed"]
    assert (result.value, result.reason, result.detail) == (None, "no census before the load", None)


def test_a_run_that_was_killed_or_did_not_settle_has_none(build: records.RecordBuilder) -> None:
    _baseline(build)
    result = compute(build.write(collectors=ON))["tasks.stayed"]
    assert (result.value, result.reason) == (None, "no census once settled")
    kill = EndingFacts(kind="oom_limit", exit_code=137, t_ns=records.ns(12), sentence="OOM-killed")
    result = compute(build.write(collectors=ON, ending=kill))["tasks.stayed"]
    assert (result.value, result.reason) == (None, "cut short by the OOM kill at 12.0 s")


def test_nothing_stayed_is_zero_without_names(build: records.RecordBuilder) -> None:
    _baseline(build)
    build.event("census", 15.9, rows=[_row("task", "worker", 10)], reasons={})
    result = compute(build.write(collectors=ON))["tasks.stayed"]
    assert (result.value, result.detail) == (0.0, None)


def test_a_program_of_threads_has_no_tasks_rather_than_none_that_stayed(tmp_path: Path) -> None:
    """As the official client's SharedInformer: a Python subject in which no event loop ever runs."""
    made = records.RecordBuilder(tmp_path / "run")
    for name, start, end in (("start", 0, 1), ("idle", 1, 3), ("settled", 16, 18)):
        made.phase(name, name, start, end)
    made.phase("create-Secret", "create", 3, 13, **LOAD)
    made.phase("settle", "settle", 13, 16, settled=True)
    for at in (0.9, 15.9):
        made.event("census", at, rows=[_row("thread", "SharedInformer", 1)], reasons={})
    results = compute(made.write(collectors=ON))
    for metric in ("tasks.peak", "tasks.settled", "tasks.stayed"):
        assert results[metric].value is None
        assert "no asyncio loop was seen" in str(results[metric].reason), metric
    made.samples("tasks", "tasks", [(2, 1.0), (17, 1.0)])
    assert compute(made.write(collectors=ON))["tasks.stayed"].value == 0.0
