"""Truth and measurement agree: a short run of the calibrated controller, a known process, kills in a row.

`make accuracy` is the long form with its goals in time and memory; what is exact must be so here, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from harness.subject import limits
from tests.accuracy import counts, kills, memory, process, runs, stream
from tests.accuracy.sheet import Row

CAPABILITY = limits.probe()
limited = pytest.mark.skipif(not CAPABILITY.ok, reason=f"no memory limits here: {CAPABILITY.sentence}")


def assert_exact(rows: list[Row]) -> None:
    wrong = [row.cells() for row in rows if row.goal == 0 and not row.met]
    assert wrong == []


@limited
@pytest.mark.cluster
def test_counts_of_a_run_are_those_of_its_switches(tmp_path: Path) -> None:
    items = 40
    run = asyncio.run(counts.run(tmp_path, items, "max"))
    rows = counts.compare(run, items)
    # On a starved machine a scrape of ours that takes seconds is a task of the subject, too: only `make accuracy` judges the sum.
    assert_exact([row for row in rows if row.quantity != "tasks.settled minus idle"])
    exact = {row.quantity: row.measured for row in rows if row.goal == 0}
    assert exact["tasks left, by coroutine"] == 4
    assert (exact["writes.total"], exact["writes.noop"]) == (40 + 20 + 80, 80)
    assert exact["patches timed by the server"] == 140
    assert exact["effects seen"] == 40
    assert len(rows) == 15
    # Nothing stopped the harness for long while it stamped.
    assert [event["full_collections"] for event in run.record.events("garbage")] == [0]
    # The subject says of itself what is in the record.
    assert [run.last(f"calibrated_truth_{name}") for name in ("tasks_left", "writes_total", "noop_writes_total")] == [
        4,
        140,
        80,
    ]
    assert sorted(line["index"] for line in run.reconciles) == list(range(items))


@limited
def test_a_process_is_seen_to_have_what_it_has() -> None:
    rows = asyncio.run(process.measure(print))
    assert_exact(rows)
    weighed = {row.quantity: row for row in rows if row.unit == "bytes"}
    assert sorted(weighed) == ["memory.anon, growth", "memory.cgroup, growth", "memory.rss, growth"]
    assert all(row.met for row in weighed.values()), [row.cells() for row in weighed.values()]


@limited
@pytest.mark.parametrize(
    "cause",
    [
        replace(kills.RESPAWN, how="respawn:8", kills=8),
        kills.OWN_LIMIT,
        kills.ENCLOSING,
        *kills.WITHOUT_LOG,
        *(cause for cause in kills.CAUSES if cause.act is not None),
    ],
    ids=lambda cause: cause.name.replace(" ", "-"),
)
def test_an_end_is_called_what_it_was(cause: kills.Cause) -> None:
    (seen,) = asyncio.run(kills._several(cause, 1))
    assert (seen.ending.kind, seen.kills, seen.events) == (cause.kind, cause.kills, cause.kills), seen.ending.sentence
    assert seen.said.count("killed") == (8 if cause.how == "respawn:8" else 0)


def test_each_event_of_a_replayed_watch_is_seen_and_none_before_it_was_sent() -> None:
    rows = asyncio.run(stream.measure(500.0, 1.0, content=True))
    assert_exact(rows)
    assert {row.n for row in rows} == {500}


def test_blanks_and_truth_make_bytes_per_object() -> None:
    """The arithmetic of the page, on results that are made up."""

    class Made(runs.Run):
        def result(self, name: str) -> float:
            return self.shown[name]

    true = memory.HELD.total(range(100), 100).held_bytes
    blank, held = (dict.fromkeys(memory.NAMES, 1e6 + grown) for grown in (0, 1.02 * true))
    found = memory.per_object(Made(blank, None, ()), Made(held, None, ()), 100)  # type: ignore[arg-type]
    assert found == {name: pytest.approx(1.02 * true / 100) for name in memory.NAMES}
    rows = memory.rows([found, {**found, "memory.heap.settled": 0.96 * true / 100}], 100)
    heap = next(row for row in rows if row.quantity == "bytes per object, memory.heap.settled")
    assert heap.error == pytest.approx(0.04)
    assert not heap.met
