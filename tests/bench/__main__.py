"""`python -m tests.bench [--only NAME] [--rounds N] [--kube-burner PATH] [--json]`.

Exit codes: 0 all work was complete and every goal that counts is met, 1 a goal is missed, 2 wrong usage, 3 some round's work was
not complete, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from harness.cli.progress import TerminalObserver
from harness.core.errors import ExitCode
from tests.bench import output, suite
from tests.bench.attach import AttachBenchmark
from tests.bench.cluster import ClusterBenchmark
from tests.bench.creates import CreatesBenchmark
from tests.bench.flips import FlipsBenchmark
from tests.bench.history import HistoryBenchmark
from tests.bench.kills import KillsBenchmark
from tests.bench.kubeburner import VARIABLE
from tests.bench.memory import MemoryBenchmark
from tests.bench.overhead import OverheadBenchmark
from tests.bench.peers import KubeBurnerBenchmark
from tests.bench.reports import ReportBenchmark
from tests.bench.suite import Benchmark

BENCHMARKS: Sequence[Benchmark] = (
    ClusterBenchmark(),
    CreatesBenchmark(),
    KubeBurnerBenchmark(),
    FlipsBenchmark(),
    MemoryBenchmark(),
    OverheadBenchmark(),
    AttachBenchmark(),
    KillsBenchmark(),
    HistoryBenchmark(),
    ReportBenchmark(),
)
_T = TypeVar("_T")


def main(arguments: Sequence[str] | None = None, benchmarks: Sequence[Benchmark] = BENCHMARKS) -> int:
    """Measure and show; returns the exit code."""
    options = _options(arguments, benchmarks)
    if options.kube_burner is not None:
        os.environ[VARIABLE] = options.kube_burner
    chosen = [one for one in benchmarks if not options.only or one.name in options.only]
    load_average, began = suite.machine_load(), time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="harness-bench-"))
    keep = False
    try:
        with TerminalObserver(Console(stderr=True, highlight=False)) as progress:
            measured = until_signal(
                suite.run(
                    chosen, rounds=options.rounds, directory=directory, progress=progress, load_average=load_average
                )
            )
        keep = bool(measured.problems)
    except (asyncio.CancelledError, KeyboardInterrupt):
        print("bench: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    seconds = time.monotonic() - began
    if keep:
        print(f"logs and records are kept in {directory}", file=sys.stderr)
    if options.json:
        print(output.as_json(measured, seconds, load_average))
    else:
        console = Console()
        output.render(measured, console, output.machine_line(load_average))
        console.print()
        console.print(output.summary_line(measured, seconds), markup=False, highlight=False, soft_wrap=True)
    return measured.exit_code


def _options(arguments: Sequence[str] | None, benchmarks: Sequence[Benchmark]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure the harness itself, on a real control plane; about 22 minutes at most unless --rounds is given.",
    )
    names = [one.name for one in benchmarks]
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"only this: {', '.join(names)}; repeatable"
    )
    parser.add_argument("--rounds", type=positive, metavar="N", help="rounds of each, however long they take")
    parser.add_argument(
        "--kube-burner", metavar="PATH", help=f"a kube-burner binary to compare with; default: what {VARIABLE} names"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout; progress goes to stderr")
    return parser.parse_args(arguments)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds")
    return int(text)


def until_signal(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of `work`; a signal cancels it once, so that its cluster and processes are taken down in order."""

    async def run() -> _T:
        loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, lambda: None if task.cancelling() else task.cancel())
        return await task

    return asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
