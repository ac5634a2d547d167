"""`python -m tests.bench.scale [--only NAME] [--rounds N] [--json]`: the figures of docs/scale.md, and the model made of them.

Exit codes as of `python -m tests.bench`. What the model needs and was not measured is said.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from harness.cli.progress import TerminalObserver
from harness.cluster.choice import ETCD_QUOTA
from harness.core.errors import ExitCode
from harness.core.units import Dimension, format_value
from tests.bench import output, suite
from tests.bench.__main__ import positive, until_signal
from tests.bench.overhead import OverheadBenchmark
from tests.bench.scale_model import NAMES, Forecast, Range, forecast, inputs_of
from tests.bench.scaling import FanoutBenchmark, StorageBenchmark, WorkersBenchmark
from tests.bench.scaling_agents import AgentsBenchmark
from tests.bench.suite import Benchmark, Suite

BENCHMARKS: Sequence[Benchmark] = (
    WorkersBenchmark(),
    FanoutBenchmark(),
    StorageBenchmark(),
    AgentsBenchmark(),
    OverheadBenchmark(),
)
BUDGET_S = 600.0
ASKED = (10, 100)
CORES = 16
"""Of the API server in the model: what the control plane of a cluster of a thousand nodes may well have."""


def main(arguments: Sequence[str] | None = None, benchmarks: Sequence[Benchmark] = BENCHMARKS) -> int:
    """Measure and show; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description="How far the load can be spread.")
    names = [one.name for one in benchmarks]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"only this: {', '.join(names)}; repeatable"
    )
    parser.add_argument("--rounds", type=positive, metavar="N", help="rounds of each, however long they take")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout; progress goes to stderr")
    options = parser.parse_args(arguments)
    chosen = [one for one in benchmarks if not options.only or one.name in options.only]
    load_average, began = suite.machine_load(), time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="harness-scale-"))
    try:
        with TerminalObserver(Console(stderr=True, highlight=False)) as progress:
            measured = until_signal(
                suite.run(
                    chosen, rounds=options.rounds, directory=directory, progress=progress, load_average=load_average,
                    budget_s=BUDGET_S,
                )
            )  # fmt: skip
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("scale: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    seconds = time.monotonic() - began
    if options.json:
        document = json.loads(output.as_json(measured, seconds, load_average))
        model = [dataclasses.asdict(each) for each in forecasts(measured)]
        print(json.dumps({**document, "schema": "harness.bench-scale/v1", "model": model}, indent=1))
    else:
        console = Console()
        output.render(measured, console, output.machine_line(load_average))
        for line in ("", *told(measured), "", output.summary_line(measured, seconds)):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    return measured.exit_code


def forecasts(measured: Suite) -> list[Forecast]:
    """Of ten and a hundred workers; none where an input was not measured."""
    found = {
        (outcome.benchmark.name, figure.name): figure.summary
        for outcome in measured.outcomes
        for figure in outcome.sheet.figures.values()
    }
    inputs = inputs_of(found)
    return [] if inputs is None else [forecast(inputs, workers, CORES, ETCD_QUOTA) for workers in ASKED]


def told(measured: Suite) -> Iterator[str]:
    """The model in words, a line each."""
    made = forecasts(measured)
    if not made:
        needed = ", ".join(sorted({benchmark for benchmark, _ in NAMES.values()}))
        yield f"model: not made; it needs the figures of {needed}"
        return
    for each in made:
        yield f"model, {each.workers} workers: they could send {_shown(each.offered, 'per_second')}"
        for carrier in each.carriers:
            verdict = "breaks" if carrier in each.breaks else "carries it"
            yield f"  {carrier.name}: {_shown(carrier.capacity, 'per_second')}, {verdict}"
        first = each.carriers[0].name
        if each.breaks:
            yield f"  first: {first}{'' if each.certain else ' (not certain: the ranges overlap with the next one)'}"
        yield f"  the API server would need {_shown(each.cores, 'count')} cores for all of it"
        yield f"  8 GiB of etcd are full after {_shown(each.quota_s, 'seconds')} at what gets through"


def _shown(value: Range, dimension: Dimension) -> str:
    low, middle, high = (format_value(each, dimension) for each in (value.low, value.middle, value.high))
    return f"{middle} ({low} to {high})"


if __name__ == "__main__":
    sys.exit(main())
