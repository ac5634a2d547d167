"""What is blamed for a regression, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest

from harness.core import stacks
from harness.core.stacks import Frame, Held, Stack, StackProfile
from harness.gate.blame import rank
from harness.gate.judge import judge
from harness.gate.pairing import Pair, Side
from harness.record.reader import RunRecord
from tests import records
from tests.unit.gate import gate_pairs
from tests.unit.gate.test_gate_judge import HEAP, NOW, question

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


def profiled(
    directory: Path,
    number: int,
    arm: str,
    held: Mapping[str, int] | None,
    kind: Literal["memray", "go-heap"] = "memray",
) -> Side:
    """A run that kept a profile with so many bytes held by each function; None: it kept none."""
    run_id = f"20261122-1000{number:02d}-{arm[0] * 5}"
    record = records.RecordBuilder(directory / run_id, run_id=run_id)
    if held is not None:
        name = "profiles/memray-start-0.stacks.json.gz"
        (directory / run_id / "profiles").mkdir(parents=True)
        peak: dict[Stack, Held] = {
            (Frame(function, f"/app/{function}.py", 7), Frame("main", "/app/main.py", 1)): Held(size, 1)
            for function, size in held.items()
        }
        if kind == "memray":
            stacks.dump(StackProfile(kind, "x", {"peak": peak, "end": {}}), directory / run_id / name)
            record.event("memray", 20.0, capture="profiles/memray-start-0.bin", stacks=name)
        else:
            stacks.dump(StackProfile(kind, "x", {"inuse": peak, "alloc": {}}), directory / run_id / name)
            record.event("heap_profile", 20.0, when="end", file="profiles/heap-end.pprof", stacks=name)
    return Side(record.write(), records.verdict_of(RunRecord(directory / run_id), {}, "inconclusive", 3))


def under_memray(directory: Path, *pairs: tuple[Mapping[str, int] | None, Mapping[str, int] | None]) -> list[Pair]:
    return [
        gate_pairs.pair(number, profiled(directory, number, "baseline", a), profiled(directory, number, "candidate", b))
        for number, (a, b) in enumerate(pairs, 1)
    ]


def test_allocation_sites_that_grew_in_all_profiled_pairs_are_blamed(tmp_path: Path) -> None:
    before = {"store": 1_000_000, "parse": 500_000, "noise": 100_000}
    pairs = under_memray(
        tmp_path,
        (before, {"store": 3_000_000, "parse": 490_000, "noise": 180_000}),
        ({**before, "noise": 190_000}, {"store": 3_040_000, "parse": 480_000, "noise": 90_000}),
        (before, {"store": 3_010_000, "parse": 470_000, "noise": 110_000}),
    )
    gate = judge(question(), regressed(tmp_path), ended_at=NOW, profiled=pairs)
    (site,) = [item for item in gate.blame if item.kind == "allocation"]
    assert site.name == "store (/app/store.py:7)"
    assert (site.baseline, site.growth, site.pairs_grown, site.pairs) == (
        1_000_000,
        pytest.approx(2_016_667, abs=1),
        3,
        3,
    )
    assert "976.6 KiB -> 2.9 MiB, +1.9 MiB (95 %: +" in site.sentence
    assert site.sentence.endswith("100% of all growth, in 3 of 3 profiled pairs")
    assert site.callers == ["main (/app/main.py:1)"]
    assert [item.kind for item in gate.blame] == ["request", "allocation", "task", "metric"]
    assert gate.verdict == judge(question(), regressed(tmp_path), ended_at=NOW).verdict  # they decide nothing
    assert gate.warnings == []


def test_pairs_of_go_subjects_are_blamed_by_their_heap_profiles(tmp_path: Path) -> None:
    held = [(1_000_000, 3_000_000), (1_000_000, 3_040_000)]
    pairs = [
        gate_pairs.pair(
            number,
            profiled(tmp_path, number, "baseline", {"store": before}, "go-heap"),
            profiled(tmp_path, number, "candidate", {"store": after}, "go-heap"),
        )
        for number, (before, after) in enumerate(held, 1)
    ]
    (site,) = rank(pairs, [])
    assert (site.kind, site.name, site.growth, site.pairs_grown) == (
        "allocation",
        "store (/app/store.py:7)",
        2_020_000,
        2,
    )
    both = gate_pairs.pair(1, profiled(tmp_path, 8, "baseline", {"store": 1}), pairs[0].sides["candidate"])
    assert rank([both], []) == [], "profiles of different runtimes say nothing of each other"


def test_what_grew_no_more_than_its_noise_is_not_blamed(tmp_path: Path) -> None:
    held = [(100_000, 150_000), (500_000, 560_000), (900_000, 980_000)]
    assert rank([], [], under_memray(tmp_path, *(({"pool": a}, {"pool": b}) for a, b in held))) == []


def test_what_grew_surely_but_not_in_nearly_all_pairs_is_not_blamed(tmp_path: Path) -> None:
    steady = [({"store": 100}, {"store": 700})] * 8
    shrunk = [({"store": 1000}, {"store": 900})]
    nine_of_ten = rank([], [], under_memray(tmp_path / "a", *steady, steady[0], *shrunk))
    assert [item.pairs_grown for item in nine_of_ten] == [9]
    assert rank([], [], under_memray(tmp_path / "b", *steady, *shrunk * 2)) == []


def test_one_profiled_pair_has_no_interval_and_says_what_it_saw(tmp_path: Path) -> None:
    (blamed,) = rank([], [], under_memray(tmp_path, ({"store": 1000}, {"store": 3000})))
    assert blamed.sentence == (
        "store (/app/store.py:7): 1000 B -> 2.9 KiB, +2.0 KiB, 100% of all growth, in 1 of 1 profiled pairs"
    )


def test_a_side_without_a_profile_blames_nobody_and_is_told(tmp_path: Path) -> None:
    pairs = under_memray(tmp_path, ({"store": 1000}, None))
    assert rank([], [], pairs) == []
    gate = judge(question(), regressed(tmp_path), ended_at=NOW, profiled=pairs)
    assert gate.warnings == [
        "pairs under memray without a profile of both arms: 1; harness show RUN says how they ended"
    ]


def test_a_profile_that_is_broken_blames_nobody(tmp_path: Path) -> None:
    pairs = under_memray(tmp_path, ({"store": 1000}, {"store": 3000}))
    record = pairs[0].sides["candidate"].record
    (record.path / "profiles/memray-start-0.stacks.json.gz").write_bytes(b"no gzip")
    assert rank([], [], pairs) == []


def test_pairs_that_keep_profiles_themselves_are_asked_where_there_are_no_others(tmp_path: Path) -> None:
    pairs = under_memray(tmp_path, ({"store": 1000}, {"store": 3000}))
    assert [item.kind for item in rank(pairs, [])] == ["allocation"]
