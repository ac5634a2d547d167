"""`python -m tests.fuzz [--cases N] [--only NAME] [--seed N]`: many cases of every target, and how many there were.

Without atheris the property-based cases only; with it, each target that takes bytes gets a run guided by coverage too, in a
process of its own. Exit code 1 where the property does not hold, with the smallest input that shows it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.all_targets import TARGETS
from tests.fuzz.property import Target, check

CASES = 100_000
"""Of all property-based targets together."""
GUIDED = 5_000
"""Of each target that is guided by coverage."""
_GUIDED_S = 60
_DONE = re.compile(r"Done (\d+) runs")


def run(target: Target, cases: int, first: int) -> tuple[Counter[str], str | None]:
    """Endings by name, and what was wrong with the smallest input that broke the property."""
    endings: Counter[str] = Counter()

    @seed(first)
    @settings(
        max_examples=cases,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )
    @given(target.inputs)
    def holds(value: object) -> None:
        endings[check(target, value)] += 1

    try:
        holds()
    except Exception as error:  # noqa: BLE001 # whatever a parser raises is what is looked for
        notes = " ".join(getattr(error, "__notes__", ()))
        return endings, f"{type(error).__name__}: {error}\n    {notes[:3000]}"
    return endings, None


def guided(target: Target, first: int, runs: int) -> tuple[int, str | None]:
    """How many inputs libFuzzer tried, and its words where one broke the property."""
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.guided",
        target.name,
        f"-runs={runs}",
        f"-seed={first}",
        f"-max_total_time={_GUIDED_S}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_GUIDED_S * 10)
    found = _DONE.findall(done.stderr)
    if done.returncode or not found:
        at = done.stderr.find("Uncaught Python exception")
        return int(found[-1]) if found else 0, done.stderr[at:][:3000] if at >= 0 else done.stderr[-3000:]
    return int(found[-1]), None


def main() -> int:
    """All targets, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--guided", type=int, default=GUIDED, metavar="RUNS")
    parser.add_argument("--only", action="append", choices=sorted(TARGETS))
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    asked = parser.parse_args()
    chosen = [TARGETS[name] for name in asked.only or TARGETS]
    shares = sum(target.share for target in chosen)
    atheris = importlib.util.find_spec("atheris") is not None
    how = "property-based and guided by coverage" if atheris else "property-based only: atheris is not installed"
    print(f"seed {asked.seed}; {how}")
    total, by_coverage, broken = 0, 0, 0
    for target in chosen:
        started = time.monotonic()
        endings, wrong = run(target, max(1, round(asked.cases * target.share / shares)), asked.seed)
        total += endings.total()
        words = ", ".join(f"{count} {name}" for name, count in endings.most_common())
        print(f"{target.name:<22}{endings.total():>7} in {time.monotonic() - started:5.1f} s  {words}", flush=True)
        if wrong is None and atheris and target.seeds and asked.guided:
            count, wrong = guided(target, asked.seed, asked.guided)
            by_coverage += count
            print(f"{'  guided':<22}{count:>7}", flush=True)
        if wrong is not None:
            broken += 1
            print(f"  BROKEN: {wrong}", flush=True)
    print(
        f"{total:,} property-based cases and {by_coverage:,} guided by coverage, of {len(chosen)} targets; {broken} broken"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
