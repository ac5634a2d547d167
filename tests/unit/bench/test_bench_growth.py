"""How figures grow: the exponent, what is left out for its time, and what is shown. With benchmarks that are made up."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from harness.core.handles import Progress, Silent
from tests.bench import growth, growth_output
from tests.bench.__main__ import BENCHMARKS
from tests.bench.growth import WORK, Grown, Point, Work, expected_s, grow
from tests.bench.growth_output import Told
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet
from tests.bench.suite import Benchmark


class Made:
    """A fake benchmark: one figure that is the square of its work, one that stays; from `slow` on it never ends."""

    name = "made"
    title = method = "made up"
    rounds = 1
    share = 1.0
    headline = "square"

    def __init__(self, amount: int, *, slow: int = 0, problem: str | None = None) -> None:
        self._amount, self._slow, self._problem = amount, slow, problem

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        if self._slow and self._amount >= self._slow:
            await asyncio.sleep(3600)
        for _ in rounds:
            if self._problem is not None:
                sheet.problem(self._problem)
                return
            sheet.add("square", "seconds", float(self._amount**2))
            sheet.add(f"peak at {self._amount * 1000:,} objects", "bytes", 7.0)


def run(tmp_path: Path, work: Work, cap_s: float = 60.0, factors: tuple[int, ...] = (1, 10, 100)) -> Grown:
    measured = grow(["made"], cap_s=cap_s, directory=tmp_path, progress=Silent(), factors=factors, work={"made": work})
    (found,) = asyncio.run(measured)
    return found


def of(**changes: object) -> Work:
    def make(amount: int) -> tuple[Benchmark, int]:
        return Made(amount, **changes), 1  # type: ignore[arg-type] # as they are given

    return Work(3, "things", make)


def test_each_figure_at_each_amount_of_work(tmp_path: Path) -> None:
    grown = run(tmp_path, of())
    assert [point.amount for point in grown.points] == [3, 30, 300]
    assert [point.figures["square"] for point in grown.points] == [9, 900, 90_000]
    assert grown.exponent("square") == pytest.approx(2)
    # The amount of work that stands in its name does not make it another figure.
    assert [point.figures["peak at N objects"] for point in grown.points] == [7, 7, 7]
    assert grown.exponent("peak at N objects") == 0
    assert grown.exponent("what was never measured") is None


def test_a_point_that_takes_too_long_is_broken_off_and_larger_ones_are_not_tried(tmp_path: Path) -> None:
    grown = run(tmp_path, of(slow=30), cap_s=1.0)
    assert [bool(point.figures) for point in grown.points] == [True, False, False]
    assert grown.points[1].left_out == "it was not done after 1 s, and was broken off"
    assert grown.points[2].left_out == "it would take longer than less work did, more than 1 s"
    assert not grown.points[2].seconds


def test_how_long_a_point_will_take_follows_from_the_last_two() -> None:
    points = [Point(1, 3, seconds=5.0), Point(10, 30, seconds=14.0)]
    assert expected_s(points, 100) == pytest.approx(104)
    assert expected_s(points[:1], 10) is None
    assert expected_s([Point(1, 3, seconds=5.0), Point(10, 30, seconds=4.0)], 100) == 4.0  # it never takes less
    assert expected_s([*points, Point(100, 300, left_out="too long")], 1000) == math.inf


def test_work_that_was_not_complete_is_told_and_gives_exit_code_3(tmp_path: Path) -> None:
    told = Told([run(tmp_path, of(problem="9 of 10 found"))], ["constant"], 1.0, 0.0, 60.0)
    assert told.problems[0] == "1x made: 9 of 10 found"
    assert told.exit_code == 3
    assert "NOT COMPLETE" in told.summary


def test_what_is_shown(tmp_path: Path) -> None:
    told = Told([run(tmp_path, of(), factors=(1, 10))], ["constant"], 1.0, 0.0, 60.0)
    document = json.loads(growth_output.as_json(told))
    assert document["schema"] == "harness.bench-growth/v1"
    assert document["benchmarks"][0]["points"][1]["figures"]["square"] == 900
    assert document["without_growth"] == ["constant"]
    page = growth_output.page(told)
    assert "n^2.00" in page
    assert "no amount of work to grow: constant" in page
    assert "growth-made" in page


def test_all_work_is_of_benchmarks_that_there_are() -> None:
    assert set(WORK) <= {one.name for one in BENCHMARKS}
    for name, work in WORK.items():
        made, rounds = work.make(work.least)
        assert made.name == name
        assert rounds >= 1


@pytest.mark.parametrize(
    "wrong", [["--cap", "0"], ["--cap", "x"], ["--only", "nothing"], ["--html", "/no/such/folder/x.html"]]
)
def test_wrong_usage_is_exit_code_2(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        growth.main(wrong)
    assert ended.value.code == 2
