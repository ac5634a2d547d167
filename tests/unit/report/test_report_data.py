"""The queries: extremes survive the reduction, missing effects are never dropped, counters become rates."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from harness.record.models import EndingFacts
from harness.report import data, traffic
from tests import records


@pytest.fixture
def build(tmp_path: Path) -> records.RecordBuilder:
    return records.RecordBuilder(tmp_path / "run")


def test_reduction_keeps_the_highest_and_the_lowest_sample(build: records.RecordBuilder) -> None:
    points = [(i / 1000, 100.0) for i in range(20_000)]
    points[12_345] = (12.345, 9e9)
    points[777] = (0.777, 1.0)
    build.samples("memory", "memory.rss", points)
    (line,) = data.series(build.write(), ("memory.rss",), bins=50)
    assert line.samples == 20_000
    assert line.reduced
    assert len(line.t_s) <= 100
    assert dict(zip(line.t_s, line.values, strict=True)) | {12.345: 9e9, 0.777: 1.0} == dict(
        zip(line.t_s, line.values, strict=True)
    )
    assert line.t_s == sorted(line.t_s)


def test_a_short_series_is_kept_whole(build: records.RecordBuilder) -> None:
    points = [(float(i), float(i * i)) for i in range(40)]
    build.samples("tasks", "tasks", points, {"coroutine": "a"})
    (line,) = data.series(build.write(), ("tasks",))
    assert list(zip(line.t_s, line.values, strict=True)) == points
    assert not line.reduced
    assert line.labels == {"coroutine": "a"}


def test_what_no_chart_can_draw_is_left_out(build: records.RecordBuilder) -> None:
    build.samples("memory", "memory.rss", [(1, math.nan), (2, math.inf), (3, 5.0)])
    build.samples("host", "overhead.cpu", [(1, 1.0), (2, math.nan), (3, 5.0)])
    record = build.write()
    (line,) = data.series(record, ("memory.rss",))
    assert line.values == [5.0]
    (rate,) = data.rates(record, ("overhead.cpu",))
    assert rate.values == [2.0]


def test_no_line_is_drawn_across_a_gap(build: records.RecordBuilder) -> None:
    build.samples("memory", "memory.rss", [(t / 10, 1.0) for t in [*range(20), *range(80, 100)]])
    record = build.write()
    (line,) = data.series(record, ("memory.rss",), break_gaps=True)
    assert line.values.count(None) == 1
    assert 1.9 < line.t_s[line.values.index(None)] < 8.0
    (whole,) = data.series(record, ("memory.rss",))
    assert None not in whole.values


def test_a_counter_becomes_a_rate_and_a_reset_a_break(build: records.RecordBuilder) -> None:
    build.samples("memory", "cpu.seconds", [(1, 1.0), (2, 1.5), (3, 2.5), (4, 0.0), (5, 0.25)])
    (line,) = data.rates(build.write(), ("cpu.seconds",))
    assert line.t_s == [2.0, 3.0, 4.0, 5.0]
    assert line.values == [0.5, 1.0, None, 0.25]


def test_a_kill_is_marked_once_whoever_saw_it(build: records.RecordBuilder) -> None:
    build.samples("oom", "oom.kills", [(1, 0), (2, 0), (12.9, 1), (13.4, 1)])
    ending = EndingFacts(kind="oom_limit", exit_code=137, t_ns=records.ns(12.4), sentence="killed")
    build.event("restart", 20)
    marks = data.marks(build.write(ending=ending))
    assert marks == [data.Mark(12.4, "OOM kill"), data.Mark(20.0, "restart")]


def test_kills_before_a_restart_are_marked_from_events_or_counter(build: records.RecordBuilder) -> None:
    build.samples("oom", "oom.kills", [(1, 0), (5, 1), (9, 2)])
    assert [mark.t_s for mark in data.marks(build.write())] == [5.0, 9.0]
    build.event("oom_kill", 4.8)
    assert [mark.t_s for mark in data.marks(build.write())] == [4.8]


def test_phases_come_from_the_samples_where_the_run_was_cut_off(build: records.RecordBuilder) -> None:
    build.phase("create-Secret", "create", 0, None)
    build.samples("memory", "memory.rss", [(1, 1), (7, 1)])
    assert [(span.name, span.start_s, span.end_s) for span in data.spans(build.write())] == [
        ("create-Secret", 0.0, 7.0)
    ]
    found = data.spans(build.write(phases=[]))
    assert [(span.name, span.start_s, span.end_s) for span in found] == [("create-Secret", 1.0, 7.0)]


def test_request_rates_count_every_answer_and_show_empty_bins_as_zero(build: records.RecordBuilder) -> None:
    for done in (0.1, 0.2, 0.3, 1.6):
        failure: dict[str, Any] = {"status": 500, "error": "no"} if done == 0.3 else {}
        build.request("create-Secret", 0.0, done, **failure)
    points = traffic.request_rates(build.write())
    assert [(p.t_s, p.per_s, p.failed_per_s) for p in points] == [
        (0.25, 6.0, 2.0), (0.75, 0.0, 0.0), (1.25, 0.0, 0.0), (1.75, 2.0, 0.0),
    ]  # fmt: skip


def test_latency_counts_from_the_intended_time_and_of_successes_only(build: records.RecordBuilder) -> None:
    build.request("create-Secret", 1.0, 3.0, sent=2.9)
    build.request("create-Secret", 1.0, 60.0, status=0, error="timed out")
    build.request("create-Secret", 1.1, 2.1, attempt=2, status=409)  # done: the first attempt had been carried out
    record = build.write()
    (point,) = traffic.request_latencies(record)
    assert (point.t_s, point.p50, point.p99, point.count) == (1.25, 1.0, 2.0, 2)
    (row,) = traffic.request_percentiles(record)
    assert (row.group, row.count, row.missing, row.max) == (("create-Secret", "create", "Secret"), 3, 1, 2.0)
    assert traffic.failed_requests(record) == [("create-Secret", "Secret", 0, "timed out", 1)]


def test_a_missing_effect_is_slower_than_any(build: records.RecordBuilder) -> None:
    for i in range(10):
        build.propagate("flip", "c", 1.0, None if i >= 8 else 2.0 + i)
    record = build.write()
    (row,) = traffic.propagation_percentiles(record)
    assert (row.count, row.missing, row.p50, row.p90, row.max) == (10, 2, 5.0, None, None)
    assert traffic.propagation_curves(record)["flip"][-1] == (8.0, 0.8)
    points, reduced = traffic.propagation_points(record)
    assert not reduced
    assert sum(point.latency_s is None for point in points) == 2


def test_reduced_propagation_keeps_the_slowest_and_the_missing(build: records.RecordBuilder) -> None:
    for i in range(5000):
        build.propagate("flip", f"c{i}", i / 1000, i / 1000 + 0.1, name=f"n{i}")
    build.propagate("flip", "slow", 2.5, 99.0, name="slowest")
    build.propagate("flip", "lost", 2.6, None, name="lost")
    points, reduced = traffic.propagation_points(build.write(), points=100)
    assert reduced
    assert len(points) <= 202
    assert [(p.name, p.latency_s) for p in points if p.cause == "slow"] == [("slowest", 96.5)]
    assert [(p.name, p.latency_s) for p in points if p.cause == "lost"] == [("lost", None)]


def test_writes_are_the_last_of_each_counter(build: records.RecordBuilder) -> None:
    labels = {"kind": "Bundle", "verb": "patch", "subresource": "status"}
    build.samples("audit", "writes.total", [(1, 5), (2, 9)], labels)
    build.samples("audit", "writes.noop", [(1, 1), (2, 4)], labels)
    build.samples("audit", "writes.total", [(2, 20)], {"kind": "GitRepo", "verb": "create"})
    assert traffic.writes(build.write()) == [
        traffic.Writes("GitRepo", "create", "", 20, 0, 0),
        traffic.Writes("Bundle", "patch", "status", 9, 4, 0),
    ]
