"""Trends and verdicts of `harness leak`: on formulas whose truth is known, with error rates counted over seeded noise."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.leak import judge
from harness.analysis.leak_result import result
from harness.analysis.leak_sites import left, named
from harness.analysis.trend import inflation, mann_kendall, theil_sen, trend
from harness.core.stacks import Frame, Held, StackProfile
from harness.record.leak import Leak, LeakSeries
from tests.records import COLLECTORS, RecordBuilder, verdict_of

KIB, MIB = 2.0**10, 2.0**20
MIB_INT = 2**20
CYCLES, OBJECTS = 20, 100
BOUND, NOISE = 25.6 * KIB, 45 * KIB
"""What 100 objects of 256 B are, and the noise of the heap that was seen at a point of a bounded controller."""


def noisy(rng: random.Random, slope: float, cycles: int = CYCLES) -> list[float]:
    return [40 * MIB + slope * cycle + rng.gauss(0, NOISE) for cycle in range(cycles + 1)]


def rate(slope: float, behaviour: str, runs: int = 300) -> float:
    rng = random.Random(11)
    return sum(judge(noisy(rng, slope), BOUND, 2).behaviour == behaviour for _ in range(runs)) / runs


def test_slope_and_test_of_known_series() -> None:
    straight = [3.0 * i + 7 for i in range(10)]
    found = trend(straight)
    assert (found.slope, found.low, found.high, found.error) == (3.0, 3.0, 3.0, 0.0)
    assert found.p == pytest.approx(4.15e-5, rel=0.01)  # normal approximation of S = 45, sd = 11.18
    wild = [*straight[:5], 9000.0, *straight[6:]]
    assert theil_sen(wild) == pytest.approx(3.0)
    assert mann_kendall(straight[::-1]) > 0.999
    assert mann_kendall([5.0] * 10) == 1.0


def test_what_the_interval_promises_is_kept() -> None:
    rng = random.Random(3)
    runs = [trend([rng.gauss(0, 1) for _ in range(18)]) for _ in range(400)]
    assert sum(found.p < 0.05 for found in runs) / 400 == pytest.approx(0.05, abs=0.03)
    assert sum(found.high < 0 for found in runs) / 400 == pytest.approx(0.05, abs=0.03)
    assert sum(found.low > 0 for found in runs) / 400 <= 0.025  # nominal 0.01
    assert sum(found.error for found in runs) / 400 == pytest.approx(1 / math.sqrt(18**3 / 12), rel=0.25)


def test_points_that_depend_on_one_another_widen_it() -> None:
    rng, value, walk = random.Random(5), 0.0, list[float]()
    for _ in range(30):
        value = 0.8 * value + rng.gauss(0, 1)
        walk.append(value)
    assert inflation(walk) > 1.5
    assert inflation([rng.gauss(0, 1) for _ in range(30)]) == pytest.approx(1.0, abs=0.6)


def test_error_rates_of_the_verdict() -> None:
    assert rate(0.0, "grows") == 0.0  # what comes back is no leak
    assert rate(0.0, "steady") > 0.97
    assert rate(BOUND, "grows") <= 0.02  # at the bound itself: 1 % nominally
    assert (
        rate(BOUND, "steady") + rate(BOUND, "filled") <= 0.10
    )  # cleared by mistake: 5 % nominally, at each of two looks
    assert rate(200 * KIB, "grows") == 1.0


def test_the_threshold_it_prints_is_what_it_finds() -> None:
    rng = random.Random(7)
    thresholds = [judge(noisy(rng, 0.0), BOUND, 2).threshold for _ in range(100)]
    typical = BOUND + sorted(each for each in thresholds if each is not None)[50]
    assert rate(typical, "grows") >= 0.9  # promised: 95 %


def test_ways_to_behave() -> None:
    filling = [10.0 + min(cycle, 6) * 100 for cycle in range(21)]
    late = [10.0 + min(cycle, 9) * 100 for cycle in range(21)]
    assert judge(late, 5.0, 2).behaviour == "filled"
    assert judge(filling, 5.0, 2).behaviour == "filled"
    assert judge([7.0] * 21, 0.2, 2).behaviour == "steady"
    assert judge([7.0 + cycle for cycle in range(21)], 0.2, 2).behaviour == "grows"
    slowing = [1000 * (1 - math.exp(-cycle / 6)) for cycle in range(21)]
    assert judge(slowing, 5.0, 2).behaviour == "unclear"
    assert judge([None] * 21, 5.0, 2).behaviour == "unknown"
    assert judge([1.0, 2.0, 3.0, 4.0, 5.0], 5.0, 2).behaviour == "unclear"
    assert judge([900.0, *[7.0] * 20], 0.2, 2).behaviour == "steady"  # the start before the first cycle does not count


def record(
    directory: Path,
    curves: dict[str, Sequence[float] | None],
    *,
    trim: tuple[float, float] | None = None,
    **overrides: Any,
) -> Leak:
    """A run of cycles with these quantities at its points; all others keep still."""
    flat = {
        "memory.heap": 40 * MIB, "memory.rss": 60 * MIB, "memory.anon": 44 * MIB, "memory.cgroup": 45 * MIB,
        "memory.file": 4096.0, "memory.heap.free": 2 * MIB, "tasks": 62.0, "threads": 2.0, "fds": 20.0,
        "metrics.series": 270.0,
    }  # fmt: skip
    built = RecordBuilder(directory, scenario="leak")
    built.phase("start", "start", 0, 1)
    for point in range(CYCLES + 1):
        at = 10.0 * (point + 1)
        if point:
            name = "create-Bundle" if point == 1 else f"create-Bundle-{point}"
            built.phase(name, "create", at - 8, at - 6, kind="Bundle", requested=OBJECTS, done=OBJECTS, failed=0)
        built.phase(f"point-{point + 1}", "point", at, at + 1)
    if trim is not None:
        built.phase(f"trim-{CYCLES + 1}", "trim", 220, 221)
        built.event("trim", 220.1, point=CYCLES + 1, since_ns=int(220.2e9), reason=None)
        built.samples("memory", "memory.rss", [(220.5, trim[1])])
    for metric, value in flat.items():
        curve = curves.get(metric, [value] * (CYCLES + 1))
        if curve is None:
            continue
        built.samples("any", metric, [(10.0 * (point + 1) + 0.5, curve[point]) for point in range(CYCLES + 1)])
    on = [facts.model_copy(update={"state": "on", "reason": None}) for facts in COLLECTORS]
    made = built.write(collectors=on, **overrides)
    return result(made, verdict_of(made, {}, "passed", 0))


def series(leak: Leak, name: str) -> LeakSeries:
    return next(each for each in leak.series if each.name == name)


def rising(start: float, by: float) -> list[float]:
    return [start + by * point for point in range(CYCLES + 1)]


def test_what_comes_back_is_cleared_and_the_threshold_told(tmp_path: Path) -> None:
    leak = record(tmp_path / "r", {})
    assert (leak.verdict, leak.exit_code, leak.findings) == ("clear", 0, [])
    assert (leak.cycles, leak.objects, leak.warm_up) == (20, 100, 5)
    assert "a leak of 256 B for each object would have been found" in leak.headline


@pytest.mark.parametrize(
    ("metric", "name", "start", "by"),
    [("memory.heap", "heap", 40 * MIB, 200 * KIB), ("tasks", "tasks", 62, 1), ("threads", "threads", 2, 1),
     ("fds", "fds", 20, 1), ("metrics.series", "series", 270, 200)],
)  # fmt: skip
def test_each_quantity_that_may_not_grow(metric: str, name: str, start: float, by: float, tmp_path: Path) -> None:
    leak = record(tmp_path / "r", {metric: rising(start, by)})
    assert (leak.verdict, leak.exit_code) == ("leak", 1)
    assert [(each.sort, each.series) for each in leak.findings] == [("leak", name)]
    assert series(leak, name).slope == pytest.approx(by)


def test_a_cache_that_found_its_size_is_no_leak(tmp_path: Path) -> None:
    leak = record(tmp_path / "r", {"memory.heap": [40 * MIB + min(p, 8) * MIB for p in range(CYCLES + 1)]})
    assert (leak.verdict, [each.sort for each in leak.findings]) == ("clear", ["cache"])


def test_free_memory_that_the_allocator_keeps_is_fragmentation(tmp_path: Path) -> None:
    grown: dict[str, Sequence[float] | None] = {
        "memory.anon": rising(44 * MIB, MIB),
        "memory.rss": rising(60 * MIB, MIB),
        "memory.heap.free": rising(MIB, MIB),
    }
    leak = record(tmp_path / "r", grown, trim=(80 * MIB, 62 * MIB))
    assert (leak.verdict, [each.sort for each in leak.findings]) == ("clear", ["fragmentation"])
    assert "malloc_trim gave 18.0 MiB of it back" in leak.findings[0].sentence


def test_memory_that_no_heap_knows_of_is_a_leak(tmp_path: Path) -> None:
    grown: dict[str, Sequence[float] | None] = {
        "memory.anon": rising(44 * MIB, MIB),
        "memory.rss": rising(60 * MIB, MIB),
    }
    leak = record(tmp_path / "r", grown, trim=(80 * MIB, 80 * MIB))
    assert (leak.verdict, [each.sort for each in leak.findings]) == ("leak", ["outside_heap"])


def test_page_cache_is_told_from_kernel_memory(tmp_path: Path) -> None:
    cached = record(tmp_path / "a", {"memory.cgroup": rising(45 * MIB, MIB), "memory.file": rising(4096, MIB)})
    kernel = record(tmp_path / "b", {"memory.cgroup": rising(45 * MIB, MIB)})
    assert [(each.verdict, each.findings[0].sort) for each in (cached, kernel)] == [
        ("clear", "page_cache"),
        ("clear", "kernel"),
    ]


def test_noise_without_an_end_clears_nothing(tmp_path: Path) -> None:
    rng = random.Random(2)
    leak = record(tmp_path / "r", {"memory.heap": [40 * MIB + rng.gauss(0, 2 * MIB) for _ in range(CYCLES + 1)]})
    assert (leak.verdict, leak.exit_code) == ("inconclusive", 3)


def test_without_a_heap_reading_anonymous_memory_decides(tmp_path: Path) -> None:
    leak = record(tmp_path / "r", {"memory.heap": None, "memory.anon": rising(44 * MIB, MIB)})
    assert (leak.verdict, leak.findings[0].series) == ("leak", "anon")
    assert series(leak, "heap").behaviour == "unknown"


def test_places_that_repeat_come_before_a_full_buffer() -> None:
    site, buffer = Frame("keep", "/app/leak.py", 7), Frame("read", "/app/stream.py", 9)
    profile = StackProfile("memray", "x", {"end": {(site,): Held(2000, 100), (buffer,): Held(50_000, 1)}})
    found = named(profile, 100)
    assert [(each.site.split()[0], each.repeated, each.bytes_per_object) for each in found] == [
        ("keep", True, 20.0),
        ("read", False, 500.0),
    ]


def test_places_of_go_are_what_two_heap_profiles_differ_in() -> None:
    keep, noise, gone = (Frame(name, f"/src/{name}.go", 7) for name in ("keep", "noise", "gone"))
    allocator = Frame("runtime.mallocgc", "/go/malloc.go", 1)

    def profile(**held: tuple[int, int]) -> StackProfile:
        frames = {"keep": keep, "noise": noise, "gone": gone}
        return StackProfile(
            "go-heap", "x", {"inuse": {(allocator, frames[name]): Held(*of) for name, of in held.items()}, "alloc": {}}
        )

    before = profile(keep=(MIB_INT, 1000), noise=(MIB_INT, 10), gone=(4 * MIB_INT, 100))
    after = profile(keep=(5 * MIB_INT, 5000), noise=(MIB_INT + MIB_INT // 2, 15), gone=(0, 0))
    found = left(before, after, 4096)
    assert [(each.site, each.repeated, each.bytes_per_object) for each in found] == [
        ("keep (/src/keep.go:7)", True, 1024.0)
    ], "one sample is noise, and what has gone is none"


def test_a_run_that_did_not_get_so_far_says_nothing(tmp_path: Path) -> None:
    built = RecordBuilder(tmp_path / "r")
    built.phase("start", "start", 0, 1)
    made = built.write()
    leak = result(made, verdict_of(made, {}, "interrupted", 130))
    assert (leak.verdict, leak.exit_code, leak.cycles) == ("interrupted", 130, 0)
    other = result(made, verdict_of(made, {}, "invalid", 3, reasons=["not engaged: reconciles.total"]))
    assert (other.verdict, other.exit_code, other.headline) == ("invalid", 3, "not engaged: reconciles.total")
