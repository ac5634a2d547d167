"""`python -m tests.bench.growth [--only NAME] [--cap SECONDS] [--json] [--html FILE]`: how each figure grows with the work.

Each benchmark does 1, 10 and 100 times its least work. A point has `--cap` seconds: one that would take longer, by what the
smaller ones took, is not begun; one that does is broken off. Either is said, and the others go on.
Exit codes: 0 all work that was begun was complete, 2 wrong usage, 3 some was not, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from harness.cli.progress import TerminalObserver
from harness.core.errors import ExitCode
from harness.core.handles import Progress
from harness.core.units import Dimension
from tests.bench import growth_output, suite
from tests.bench.__main__ import BENCHMARKS, until_signal
from tests.bench.attach import AttachBenchmark
from tests.bench.cluster import ClusterBenchmark
from tests.bench.creates import CreatesBenchmark
from tests.bench.flips import FlipsBenchmark
from tests.bench.history import HistoryBenchmark
from tests.bench.kills import KillsBenchmark
from tests.bench.memory import MemoryBenchmark
from tests.bench.overhead import OverheadBenchmark
from tests.bench.reports import ReportBenchmark
from tests.bench.suite import Benchmark, Suite

FACTORS = (1, 10, 100)
CAP_S = 180.0
_NUMBER = re.compile(r"\d[\d,]{3,}")


@dataclass(frozen=True, slots=True)
class Work:
    """What grows of a benchmark. `make` gives it with so much of that, and how many rounds of it make one point."""

    least: int
    of: str
    make: Callable[[int], tuple[Benchmark, int]]


WORK: dict[str, Work] = {
    ClusterBenchmark.name: Work(1, "control planes started, one after the other", lambda n: (ClusterBenchmark(), n)),
    CreatesBenchmark.name: Work(300, "Secrets of a turn", lambda n: (CreatesBenchmark(n), 1)),
    MemoryBenchmark.name: Work(1000, "Secrets", lambda n: (MemoryBenchmark(n), 1)),
    OverheadBenchmark.name: Work(
        80, "Secrets of the run", lambda n: (OverheadBenchmark(("secrets-8k", "--set", f"secrets={n}")), 1)
    ),
    FlipsBenchmark.name: Work(100, "flips of a turn", lambda n: (FlipsBenchmark(n), 1)),
    AttachBenchmark.name: Work(1, "cycles of the same processes", lambda n: (AttachBenchmark(), n)),
    KillsBenchmark.name: Work(1, "kills of each way", lambda n: (KillsBenchmark(), n)),
    HistoryBenchmark.name: Work(100, "runs in the history", lambda n: (HistoryBenchmark(n), 3)),
    ReportBenchmark.name: Work(50_000, "samples of the record", lambda n: (ReportBenchmark(n), 1)),
}
"""By benchmark; one that is not here has no amount of work that could grow."""


@dataclass(slots=True)
class Point:
    """One benchmark with one amount of work. `left_out` says why there are no figures, in words."""

    factor: int
    amount: int
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)
    """Medians, by the name without numbers that the amount of work puts into it."""
    problems: list[str] = field(default_factory=list)
    left_out: str | None = None


@dataclass(slots=True)
class Grown:
    """All points of one benchmark."""

    name: str
    of: str
    method: str
    points: list[Point] = field(default_factory=list)
    dimensions: dict[str, Dimension] = field(default_factory=dict)

    def exponent(self, figure: str) -> float | None:
        """b of work^b through the first and the last point: 0 does not grow, 1 grows as the work does. None: not two points."""
        found = [(point.factor, point.figures[figure]) for point in self.points if figure in point.figures]
        if len(found) < 2 or found[0][1] <= 0 or found[-1][1] <= 0:
            return None
        return math.log(found[-1][1] / found[0][1]) / math.log(found[-1][0] / found[0][0])


async def grow(
    names: Sequence[str], *, cap_s: float, directory: Path, progress: Progress, factors: Sequence[int] = FACTORS,
    work: dict[str, Work] = WORK,
) -> list[Grown]:  # fmt: skip
    """Every benchmark of `names` at every factor that fits into its time."""
    result = []
    for name in names:
        first, _ = work[name].make(work[name].least)
        grown = Grown(name, work[name].of, first.method)
        result.append(grown)
        for factor in factors:
            point = Point(factor, work[name].least * factor)
            grown.points.append(point)
            expected = expected_s(grown.points[:-1], factor)
            if expected is not None and expected > cap_s:
                by_then = f"about {expected:.0f} s" if math.isfinite(expected) else "longer than less work did"
                point.left_out = f"it would take {by_then}, more than {cap_s:.0f} s"
                continue
            place = tempfile.mkdtemp(prefix=f"{name}-{factor}-", dir=directory)
            await _measure(grown, point, work[name], cap_s, Path(place), progress)
    return result


def expected_s(points: Sequence[Point], factor: int) -> float | None:
    """How long a point will take, on the line through the last two that came to their end; None: not known yet.

    After one that was broken off or left out, a larger one is not tried.
    """
    if any(point.left_out for point in points):
        return math.inf
    if len(points) < 2:
        return None
    one, two = points[-2:]
    slope = (two.seconds - one.seconds) / (two.factor - one.factor)
    return two.seconds + max(0.0, slope) * (factor - two.factor)


async def _measure(grown: Grown, point: Point, work: Work, cap_s: float, directory: Path, progress: Progress) -> None:
    benchmark, rounds = work.make(point.amount)
    began = time.monotonic()
    measured: Suite | None = None
    try:
        async with asyncio.timeout(cap_s):
            measured = await suite.run(
                [benchmark], rounds=rounds, directory=directory, progress=progress, load_average=suite.machine_load()
            )
    except TimeoutError:
        point.left_out = f"it was not done after {cap_s:.0f} s, and was broken off"
    point.seconds = time.monotonic() - began
    if measured is None:
        return
    point.problems = list(measured.problems)
    for figure in measured.outcomes[0].sheet.figures.values():
        name = _NUMBER.sub("N", figure.name)
        grown.dimensions[name] = figure.dimension
        point.figures[name] = figure.summary.median


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; returns the exit code."""
    options = _options(arguments)
    names = [one.name for one in BENCHMARKS if one.name in WORK and (not options.only or one.name in options.only)]
    constant = [one.name for one in BENCHMARKS if one.name not in WORK]
    load_average, began = suite.machine_load(), time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="harness-growth-"))
    try:
        with TerminalObserver(Console(stderr=True, highlight=False)) as progress:
            grown = until_signal(grow(names, cap_s=options.cap, directory=directory, progress=progress))
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("bench-growth: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    told = growth_output.Told(grown, constant, time.monotonic() - began, load_average, options.cap)
    if options.html is not None:
        options.html.write_text(growth_output.page(told))
    if options.json:
        print(growth_output.as_json(told))
    else:
        growth_output.render(told, Console(), options.html)
    return told.exit_code


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.growth",
        description="How each figure of the benchmarks grows with 1, 10, 100 times the work.",
    )
    names = list(WORK)
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"only this: {', '.join(names)}; repeatable"
    )
    parser.add_argument(
        "--cap", type=_seconds, default=CAP_S, metavar="SECONDS", help=f"for each point (default: {CAP_S:.0f})"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with the plots")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout; progress goes to stderr")
    options = parser.parse_args(arguments)
    if options.html is not None and not options.html.absolute().parent.is_dir():
        parser.error(f"there is no folder {options.html.absolute().parent}")
    return options


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 1 to 86400")
    return value


if __name__ == "__main__":
    sys.exit(main())
