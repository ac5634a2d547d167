"""What a start with everything there costs, from a synthetic record: windows, counters over restarts, lists by identity."""

from __future__ import annotations

from pathlib import Path

from harness.analysis.coldstart import result
from harness.record.coldstart import Coldstarts
from tests.records import MIB, RecordBuilder, ns, verdict_of


def built(directory: Path) -> Coldstarts:
    """Growth from 10 to 20 s, a restart at 30 s that is ready at 34 s, a storm at 50 s."""
    record = RecordBuilder(directory)
    record.phase("start", "start", 0, 5)
    record.phase("create-Secret", "create", 10, 15, kind="Secret", requested=100, done=100, failed=0)
    record.phase("settle-1", "settle", 15, 20, settled=True)
    record.phase("point-1", "point", 20, 22)
    record.phase("restart", "restart", 29, 34)
    record.phase("settle-2", "settle", 34, 40, settled=True)
    record.phase("point-2", "point", 40, 42)
    record.phase("restart-2", "restart", 49, 53)
    record.phase("settle-3", "settle", 53, 65, settled=True)
    record.phase("point-3", "point", 65, 67)
    record.event("restart", 34, incarnation=1, signal="KILL", started_ns=ns(30), ready_ns=ns(34), leases_cleared=[])
    record.event("apiserver_restarted", 53, killed_ns=ns(50), ready_ns=ns(53))
    for metric in ("memory.rss", "memory.anon", "memory.cgroup"):
        record.samples(
            "memory",
            metric,
            [(12, 60 * MIB), (21, 50 * MIB), (33, 90 * MIB), (41, 60 * MIB), (56, 70 * MIB), (66, 70 * MIB)],
        )
    for kind, times in {
        "Secret": ((3, 0.1), (31, 0.5), (32, 0.5), (55, 1.0)),
        "GitRepo": ((33, 0.25), (56, 2.0)),
    }.items():
        record.samples("audit", "api.list", times, {"kind": kind})
    record.samples(
        "apiserver",
        "apiserver.listed",
        [(9, 500), (29, 1000), (40, 5000), (49, 5000), (53, 0), (65, 7000)],
        {"resource": "secrets"},
    )
    record.samples("apiserver", "apiserver.cpu", [(9, 4), (20, 7), (29, 8), (40, 9.5), (49, 10), (50.5, 0), (65, 3)])
    for le, values in {"0.5": (10, 10, 10, 90), "1": (10, 12, 10, 99), "+Inf": (10, 12, 10, 100)}.items():
        record.samples(
            "apiserver", "apiserver.duration", zip((29, 40, 49, 65), values, strict=True), {"verb": "list", "le": le}
        )
    made = record.write()
    return result(made, verdict_of(made, {}, "passed", 0), ["probes"])


def test_each_start_has_its_own_window(tmp_path: Path) -> None:
    found = built(tmp_path / "r")
    assert [(each.sort, each.number) for each in found.starts] == [("growth", 1), ("restart", 1), ("storm", 1)]
    growth, restart, storm = found.starts
    assert (growth.rss.peak, growth.rss.settled, growth.lists) == (60 * MIB, 50 * MIB, {})
    assert (restart.rss.peak, restart.rss.settled, restart.rss.ratio) == (90 * MIB, 60 * MIB, 1.5)
    assert storm.rss.peak == 70 * MIB
    assert found.objects == 100
    assert (
        "a restart peaks at 90.0 MiB RSS and settles at 60.0 MiB, growing into them peaked at 60.0 MiB"
        in found.headline
    )


def test_times_count_from_the_start_of_the_process_and_the_death_of_the_server(tmp_path: Path) -> None:
    _, restart, storm = built(tmp_path / "r").starts
    assert (restart.ready_s, restart.first_object_s, restart.synced_s, restart.settled_s) == (4.0, 1.5, 3.25, 10.0)
    assert (storm.ready_s, storm.first_object_s, storm.synced_s) == (3.0, 6.0, 8.0)
    assert restart.lists == {"GitRepo": 1, "Secret": 2}


def test_counters_that_begin_again_with_a_new_server(tmp_path: Path) -> None:
    growth, restart, storm = built(tmp_path / "r").starts
    assert growth.apiserver_cpu_s == 3.0
    assert (restart.apiserver_cpu_s, restart.listed_bytes) == (1.5, {"secrets": 4000.0})
    assert (storm.apiserver_cpu_s, storm.listed_bytes) == (3.0, {"secrets": 7000.0})
    assert (restart.apiserver_list_p99_s, storm.apiserver_list_p99_s) == (1.0, 1.0)


def test_a_run_without_a_restart_says_why(tmp_path: Path) -> None:
    record = RecordBuilder(tmp_path / "r")
    record.phase("start", "start", 0, 5)
    made = record.write()
    found = result(made, verdict_of(made, {}, "invalid", 3, reasons=["it did not settle"]))
    assert (found.starts, found.headline, found.exit_code) == ([], "it did not settle", 3)
