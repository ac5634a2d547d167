"""What is blamed for a regression, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import gate_pairs
from test_gate_judge import HEAP, NOW, question

from harness.gate.blame import allocations, rank
from harness.gate.judge import judge
from harness.gate.pairing import Pair
from tests import records

Sample = tuple[str, str, float, Mapping[str, str]]


def patches(total: float, noop: float, tasks: float) -> list[Sample]:
    status = {"kind": "BundleDeployment", "verb": "patch", "subresource": "status"}
    creates = {"kind": "Bundle", "verb": "create", "subresource": ""}
    return [
        ("audit", "writes.total", total, status),
        ("audit", "writes.noop", noop, status),
        ("audit", "writes.total", 100.0, creates),
        ("audit", "api.requests", 20.0, {"kind": "Bundle", "verb": "list", "subresource": ""}),
        ("tasks", "tasks", tasks, {"coroutine": "Status.patch"}),
        ("tasks", "tasks", 40.0, {"coroutine": "Controller.worker"}),
    ]


def regressed(directory: Path) -> list[Pair]:
    found = []
    for number in range(1, 13):
        before = gate_pairs.side(
            directory, f"20261122-0900{number:02d}-bbbbb", {HEAP: 100.0 + number}, samples=patches(100, 0, 10)
        )
        after = gate_pairs.side(
            directory,
            f"20261122-0900{number:02d}-ccccc",
            {HEAP: 110.0 + number},
            samples=patches(400 + number, 300, 12),
        )
        found.append(gate_pairs.pair(number, before, after))
    return found


def test_what_grew_is_ranked_and_what_changed_nothing_is_named(tmp_path: Path) -> None:
    gate = judge(question(), regressed(tmp_path), ended_at=NOW)
    assert gate.verdict == "regress"
    assert [(item.rank, item.kind, item.name) for item in gate.blame] == [
        (1, "request", "patch BundleDeployment/status (changed nothing)"),
        (2, "task", "Status.patch"),
        (3, "metric", HEAP),
    ]
    first = gate.blame[0]
    assert (first.baseline, first.candidate, first.growth, first.pairs_grown) == (0, 300, 300, 9)
    assert gate.blame[1].sentence == "Status.patch: 10 -> 12, 1.2 times, in 9 of 9 pairs"


def test_of_a_family_of_metrics_one_is_named(tmp_path: Path) -> None:
    names = ["latency.flip.p50", "latency.flip.p99", "tasks.peak"]
    before = [dict.fromkeys(names, 1.0) | {HEAP: 100.0 + i} for i in range(12)]
    after = [{"latency.flip.p50": 2.0, "latency.flip.p99": 3.0, "tasks.peak": 1.5, HEAP: 150.0 + i} for i in range(12)]
    gate = judge(question(), gate_pairs.pairs(tmp_path, before, after), ended_at=NOW)
    assert [item.name for item in gate.blame] == ["latency.flip.p99", "tasks.peak", HEAP]


def test_what_grew_only_now_and_then_is_not_blamed(tmp_path: Path) -> None:
    pairs = regressed(tmp_path)
    swapped = [
        gate_pairs.pair(pair.number, pair.sides["candidate"], pair.sides["baseline"]) if pair.number % 3 == 0 else pair
        for pair in pairs
    ]
    assert rank(swapped, []) == []


def test_allocation_sites_are_those_that_memray_found_in_use(tmp_path: Path) -> None:
    record = records.RecordBuilder(tmp_path / "run")
    site = {"function": "store", "file": "informer.py", "line": 88, "bytes": 300, "allocations": 2}
    record.event("memray", 20.0, left=[site, {**site, "line": 90, "bytes": 5}], peak_bytes=400)
    assert allocations(record.write()) == {"store (informer.py:88)": 300, "store (informer.py:90)": 5}
