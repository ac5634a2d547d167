"""`python -m tests.accuracy [--only NAME] [--quick] [--first] [--keep DIRECTORY] [--json FILE]`.

Exit codes: 0 every goal was met, 1 one was missed, 2 wrong usage, 3 something could not be measured, 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from harness.core.errors import ExitCode, HarnessError
from harness.experiment import machine
from harness.experiment.pauses import no_long_pauses
from tests.accuracy import counts, kills, leaks, memory, process, sheet, stream
from tests.accuracy.sheet import Matrix, Row
from tests.bench.output import machine_line
from tests.bench.suite import machine_load
from tests.bench.surroundings import Surroundings

Detail = Callable[[str], None]
_PART_S = 1800.0
_LEAK_S = 4 * 3600.0
"""Sixty runs of minutes."""
Part = Callable[[Path, Matrix, Detail], Awaitable[list[Row]]]


async def _stream(_directory: Path, _matrix: Matrix, detail: Detail, *, seconds: float, first: bool) -> list[Row]:
    rows: list[Row] = []
    for content in (False, True):
        detail(f"stream: {'whole objects' if content else 'metadata'}, {stream.RATE:,.0f} events/s for {seconds:g} s")
        with before_all_others(first):
            rows += await stream.measure(seconds=seconds, content=content)
    return rows


async def _counts(directory: Path, _matrix: Matrix, detail: Detail, *, items: int, first: bool) -> list[Row]:
    with before_all_others(first):
        return await counts.measure(directory, detail, items)


async def _kills(_directory: Path, matrix: Matrix, detail: Detail, **numbers: int) -> list[Row]:
    return await kills.measure(matrix, detail, **numbers)


async def _process(_directory: Path, _matrix: Matrix, detail: Detail, *, first: bool) -> list[Row]:
    with before_all_others(first):
        return await process.measure(detail)


async def _memory(directory: Path, _matrix: Matrix, detail: Detail, *, pairs: int, items: int) -> list[Row]:
    return await memory.measure(directory, detail, pairs=pairs, items=items)


async def _memray(directory: Path, _matrix: Matrix, detail: Detail) -> list[Row]:
    return await memory.memray(directory, detail)


async def _leak(directory: Path, _matrix: Matrix, detail: Detail, *, repeats: int) -> list[Row]:
    return await leaks.measure(directory, detail, repeats)


def parts(*, quick: bool, first: bool, repeats: int | None = None) -> dict[str, Part]:
    """All parts by name; `quick` ones are smaller, for a first look."""
    return {
        "process": partial(_process, first=first),
        "stream": partial(_stream, seconds=4.0 if quick else 20.0, first=first),
        "kills": partial(_kills, kills=8 if quick else kills.KILLS, others=2 if quick else kills.OTHERS,
                         thrashings=1 if quick else kills.THRASHINGS),
        "counts": partial(_counts, items=100 if quick else counts.ITEMS, first=first),
        "memory": partial(_memory, pairs=1 if quick else memory.PAIRS, items=memory.ITEMS),
        "memray": _memray,
        "leak": partial(_leak, repeats=repeats or (1 if quick else leaks.REPEATS)),
    }  # fmt: skip


@contextmanager
def before_all_others(wanted: bool) -> Iterator[None]:
    """While this lasts we and what we start get the CPU before every ordinary process (SCHED_RR), as on a machine of our own."""
    if not wanted:
        yield
        return
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and show; returns the exit code."""
    options = _options(arguments)
    chosen = {name: part for name, part in parts(quick=options.quick, first=options.first, repeats=options.repeats).items()
              if not options.only or name in options.only}  # fmt: skip
    rows, matrix, problems, began, load = list[Row](), Matrix(), list[str](), time.monotonic(), machine_load()
    around = Surroundings()
    directory = options.keep or Path(tempfile.mkdtemp(prefix="harness-accuracy-"))
    try:
        for name, part in chosen.items():
            try:
                with no_long_pauses():  # as in a run
                    rows += asyncio.run(_bounded(part(directory, matrix, _say), _LEAK_S if name == "leak" else _PART_S))
            except (HarnessError, OSError, TimeoutError) as error:
                problems.append(f"{name}: {type(error).__name__}: {error}")
                _say(problems[-1])
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    finally:
        if not problems and not options.keep:
            shutil.rmtree(directory, ignore_errors=True)
    seconds, shares = time.monotonic() - began, around.shares()
    missed = [row for row in rows if not row.met]
    surroundings = f"{seconds:.0f} s; other processes used {shares.others:.0%} of the machine's CPU time" + (
        "; parts that judge times ran before all others (SCHED_RR)" if options.first else ""
    )
    print(
        "\n".join(
            [machine_line(load), surroundings, "", *sheet.render(rows), "", *(matrix.lines() if matrix.counts else [])]
        )
    )
    for collector, how in dict.fromkeys((row.collector, row.how) for row in rows):
        print(f"  {collector}: {how}")
    for problem in problems:
        print(f"NOT MEASURED: {problem} (logs in {directory})")
    print(f"accuracy: {len(rows) - len(missed)} of {len(rows)} rows within their goals")
    if options.json:
        facts = {"machine": machine.describe().model_dump(mode="json"), "versions": machine.versions()}
        text = sheet.as_json(
            rows, matrix, **facts, problems=problems, surroundings=surroundings, load_average_before=load
        )
        options.json.write_text(text + "\n")
    return ExitCode.INVALID if problems else ExitCode.FAILED if missed else ExitCode.PASSED


async def _bounded(work: Awaitable[list[Row]], seconds: float) -> list[Row]:
    async with asyncio.timeout(seconds):
        return await work


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    names = list(parts(quick=False, first=False))
    parser = argparse.ArgumentParser(
        prog="python -m tests.accuracy", description="What the harness measures against what is true, part by part."
    )
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help=f"only this part: {', '.join(names)}"
    )
    parser.add_argument("--quick", action="store_true", help="fewer of each")
    parser.add_argument(
        "--repeats", type=int, metavar="N", help=f"runs of each form of leak (default: {leaks.REPEATS})"
    )
    parser.add_argument(
        "--first", action="store_true",
        help="get the CPU before all others where times are judged (SCHED_RR, needs root): for a machine that is shared",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path, metavar="DIRECTORY",
        help="keep the runs there; runs of leaks whose answers are there already are not made again",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there as JSON, too")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
