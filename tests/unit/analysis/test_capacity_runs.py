"""What single records tell about capacity: rungs, and trials that were killed, hung, lived, or say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.analysis import capacity_runs, sweep_runs
from harness.analysis.facts import Facts
from harness.core.handles import EndKind
from harness.record.models import EndingFacts
from harness.record.reader import RunRecord
from tests import records
from tests.records import MIB

OUTSIDE = 14 * MIB


def _record(
    directory: Path, ending: EndKind | None = None, *, at: float = 9.0, restart: bool = True,
    files: Sequence[tuple[float, int]] = (),
) -> RunRecord:  # fmt: skip
    """A run of a Go subject: 45 MiB idle, a peak of 100 MiB while it grows, 90 settled, 120 when restarted, 95 settled."""
    build = records.RecordBuilder(directory)
    build.phase("start", "start", 0, 2)
    if at > 2:
        build.phase("idle", "idle", 2, 4)
        build.phase("create-Secret", "create", 4, 10, kind="Secret", requested=10, done=10, failed=0)
    build.samples(
        "memory", "memory.cgroup", [(2.5, 45 * MIB), (8, 98 * MIB), (11, 92 * MIB), (12.4, 90 * MIB), (12.8, 90 * MIB)]
    )
    build.samples("memory", "memory.file", [(t, mib * MIB) for t, mib in files])
    build.samples("metrics", "go_memstats_sys_bytes", [(2.6, 40 * MIB), (12.5, 90 * MIB - OUTSIDE + 5 * MIB)])
    build.samples("metrics", "go_memstats_heap_released_bytes", [(2.6, 0), (12.5, 5 * MIB)])
    build.samples(
        "metrics", "reconciles.total", [(2, 0), (3, 0), (5, 10), (6, 30), (7, 30), (8, 50), (9, 70), (10, 70)]
    )
    for size in (4000, 5000):
        build.request("create-Secret", 5, 5.1, size=size)
    build.request("create-Secret", 5, 5.1, size=9999, error="refused")
    if restart:
        build.phase("settle-1", "settle", 10, 13, settled=True)
        build.phase("restart", "restart", 13, 16)
        build.samples("memory", "memory.cgroup", [(14, 115 * MIB), (21, 95 * MIB)])
        build.phase("settle-2", "settle", 16, 20, settled=True)
    build.phase("settled", "settled", 20, 22)
    build.samples("memory", "memory.cgroup.peak", [(22, 100 * MIB)], {"incarnation": "0"})
    build.samples("memory", "memory.cgroup.peak", [(22, 120 * MIB)], {"incarnation": "1"})
    facts = (
        None if ending is None else EndingFacts(kind=ending, exit_code=137, t_ns=records.ns(at), sentence="it ended")
    )
    record = build.write(ending=facts, subject=records.SUBJECT.model_copy(update={"runtime": "go"}))
    records.verdict_of(record, {}, "failed" if ending else "passed", 1)
    return record


def test_a_rung_has_its_four_memories_and_the_size_that_was_sent(tmp_path: Path) -> None:
    found = capacity_runs.rung(_record(tmp_path), "create-Secret", 10, 1.0)
    assert found.valid
    assert (found.idle, found.bytes_per_object) == (45 * MIB, 4500)
    assert (found.growth_peak, found.growth_settled) == (100 * MIB, 90 * MIB)
    assert (found.cold_peak, found.cold_settled) == (120 * MIB, 95 * MIB)
    assert found.outside_go == OUTSIDE


def test_files_that_a_subject_was_the_first_to_read_are_not_what_objects_cost(tmp_path: Path) -> None:
    """38 MiB of its own program before the load, of which the kernel took 30 back meanwhile; 6 more at the restart."""
    record = _record(tmp_path, files=[(1, 2), (2.5, 38), (8, 38), (12.4, 8), (12.8, 8), (14, 0), (17, 6), (21, 6)])
    found = capacity_runs.rung(record, "create-Secret", 10, 1.0)
    assert (found.idle, found.growth_peak, found.growth_settled) == (7 * MIB, 92 * MIB, 82 * MIB)
    assert (found.cold_peak, found.cold_settled) == (114 * MIB, 89 * MIB)


def test_without_a_restart_there_is_no_cold_start(tmp_path: Path) -> None:
    found = capacity_runs.rung(_record(tmp_path, restart=False), "create-Secret", 10, 1.0)
    assert (found.valid, found.cold_peak, found.cold_settled) == (True, None, None)


def test_a_rung_that_died_is_no_measurement(tmp_path: Path) -> None:
    found = capacity_runs.rung(_record(tmp_path, "oom_limit"), "create-Secret", 10, 1.0)
    assert (found.valid, found.reason) == (False, "the subject ended: it ended")


@pytest.mark.parametrize(("ending", "at", "growth", "cold"), [
    (None, 9.0, "survived", "survived"),
    ("oom_limit", 9.0, "killed", "invalid"),
    ("oom_limit", 15.0, "killed", "killed"),
    ("thrashing", 15.0, "thrashing", "thrashing"),
    ("oom_node", 15.0, "invalid", "invalid"),
    ("crash", 15.0, "invalid", "invalid"),
])  # fmt: skip
def test_how_a_trial_went(ending: EndKind | None, at: float, growth: str, cold: str, tmp_path: Path) -> None:
    record = _record(tmp_path, ending, at=at)
    assert capacity_runs.trial(record, 10, "growth").outcome == growth
    found = capacity_runs.trial(record, 10, "cold")
    assert found.outcome == cold
    assert (found.reason is None) == (cold == "survived")


def test_a_kill_before_any_load_says_nothing_about_the_count(tmp_path: Path) -> None:
    found = capacity_runs.trial(_record(tmp_path, "oom_limit", at=1.0, restart=False), 10, "growth")
    assert (found.outcome, found.reason) == ("invalid", "before any load: it ended")


def test_throughput_leaves_waiting_out(tmp_path: Path) -> None:
    # 70 reconciles: 10 within 1 s of the load's start, 20 in the next, and 40 in 2 s after a pause
    assert sweep_runs.throughput(Facts(_record(tmp_path))) == pytest.approx(70 / 4)
