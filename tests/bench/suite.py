"""Runs benchmarks one after another and says whether all of their work was done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.core.errors import ExitCode, HarnessError
from harness.core.handles import Progress
from tests.bench import goals
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet
from tests.bench.surroundings import Shares, Surroundings

BUDGET_S = 1260.0
"""For all benchmarks together, where nobody asks for a number of rounds."""


class Benchmark(Protocol):
    """One benchmark; stateless, so that it can be listed before it runs."""

    name: str
    title: str
    method: str
    """How the figures come about, in a sentence or two for the reader of the table."""
    rounds: int
    """How many rounds are enough to see the noise."""
    share: float
    """Of the budget of all benchmarks."""
    headline: str
    """The figure that stands in the summary."""

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """Measure `rounds`; files go to `directory`. HarnessErrors may escape: the suite notes them as problems."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one benchmark."""

    benchmark: Benchmark
    sheet: Sheet
    rounds: Rounds
    seconds: float
    load_before: float
    """The machine's load average over the minute before; includes earlier benchmarks."""
    shares: Shares
    """What others had of the machine meanwhile."""

    @property
    def command(self) -> str:
        """What measures this again."""
        return f"python -m tests.bench --only {self.benchmark.name} --rounds {self.rounds.wanted}"


@dataclass(slots=True)
class Suite:
    """All outcomes so far, in order."""

    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """Everything that was not complete, with the benchmark's name in front."""
        return [f"{item.benchmark.name}: {problem}" for item in self.outcomes for problem in item.sheet.problems]

    @property
    def missed(self) -> list[str]:
        """Every goal that counts and is not reached, in words."""
        judged = [each for item in self.outcomes for each in goals.judge(item.benchmark.name, item.sheet)]
        return [each.sentence for each in judged if each.met is False and each.goal.excuse is None]

    @property
    def exit_code(self) -> ExitCode:
        """0; 3 where some work was not complete, for figures of work that was not done mean nothing; 1 where a goal is missed."""
        if self.problems:
            return ExitCode.INVALID
        return ExitCode.FAILED if self.missed else ExitCode.PASSED


async def run(
    benchmarks: Sequence[Benchmark],
    *,
    rounds: int | None,
    directory: Path,
    progress: Progress,
    load_average: float,
    budget_s: float = BUDGET_S,
) -> Suite:
    """Run `benchmarks` in order. `rounds` None: each one's own number, within the budget; a number is kept at any price.

    `load_average` is the machine's before anything began. What one does not use of its share, the next ones may.
    """
    suite = Suite()
    began = time.monotonic()
    shares = sum(benchmark.share for benchmark in benchmarks)
    used = 0.0
    for benchmark in benchmarks:
        used += benchmark.share / shares
        turns = Rounds(rounds or benchmark.rounds, deadline_s=None if rounds else began + used * budget_s)
        sheet, started, around = Sheet(), time.monotonic(), Surroundings()
        place = directory / benchmark.name
        place.mkdir()
        try:
            await benchmark.run(turns, place, progress, sheet)
        except HarnessError as error:
            sheet.problem(f"round {turns.begun}: {error}" if turns.begun else str(error))
        if not sheet.figures and not sheet.problems and sheet.skipped is None:
            sheet.problem("it measured nothing")
        seconds = time.monotonic() - started
        suite.outcomes.append(Outcome(benchmark, sheet, turns, seconds, load_average, around.shares()))
        load_average = machine_load()
    return suite


def machine_load() -> float:
    """Load average over the last minute."""
    return float(Path("/proc/loadavg").read_text().split()[0])
