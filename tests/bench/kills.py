"""Benchmark `kills`: Python subjects under memray, killed by the kernel at their limit; each must leave a readable capture."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from pathlib import Path

from harness.collectors import registry
from harness.core.handles import Progress
from harness.core.ids import new_run_id
from harness.core.stacks import load
from harness.subject import process
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet
from tests.collecting import ListSink, context, launch

LIMIT = 128 * 2**20
WAYS = ("launch", "attach")
READING = "reading a capture"
_KILL_S = 60.0
_LEAST = 20 * 2**20
"""Of the memory below the limit the interpreter and memray take the most; this much at least is the program's own."""
_PROGRAM = """
import pathlib, sys, time
held = []
def hold():
    held.append(bytearray(100_000))
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.01)
while True:
    hold()
    time.sleep(0.0005)
"""


class KillsBenchmark:
    """Two kills a round: one subject launched under memray, one that memray was attached to."""

    name = "kills"
    title = "captures that survive an OOM kill"
    method = (
        f"each round a Python program fills a memory cgroup of {LIMIT >> 20} MiB until the kernel kills it, once for each of "
        f"--memray {' and '.join(WAYS)}; its capture must name the function that held the memory, its stacks be readable"
    )
    rounds = 3
    share = 0.05
    headline = READING

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        for number in rounds:
            progress.step(f"kills: round {number} of {rounds.wanted}")
            for way in WAYS:
                place = directory / f"{number}-{way}"
                place.mkdir()
                wrong = await kill(way, place, sheet)
                if wrong is not None:
                    sheet.problem(f"round {number}, {way}: {wrong}")
                else:
                    shutil.rmtree(place)


async def kill(way: str, directory: Path, sheet: Sheet) -> str | None:
    """Why a kill left nothing to read; None where all is well."""
    sink, go = ListSink(), directory / "go"
    program = directory / "program.py"
    program.write_text(_PROGRAM)  # a few bytes
    order = launch([sys.executable, str(program), str(go)], sink, directory)
    order.run_id = new_run_id()  # the name of its cgroup
    (collector,) = registry.create([], memray=way)
    await collector.prepare(order)
    subject = await process.start(order, kubeconfig=directory / "none", user="x", namespace="x", memory_limit=LIMIT)
    try:
        await collector.attach(context(sink, subject, directory))
        await collector.phase_started("load")
        go.touch()  # as above
        try:
            ending = await subject.wait_ended(_KILL_S)
        except TimeoutError:
            return f"it was not killed within {_KILL_S:g} s"
    finally:
        await asyncio.shield(subject.stop(0))
    if ending.kind != "oom_limit":
        return f"it was not killed at its limit: {ending.sentence}"
    began = time.monotonic()
    await collector.detach()
    sheet.add(READING, "seconds", time.monotonic() - began)
    found = sink.of("memray")
    if not found:
        return "there is no capture"
    event = found[0]
    sheet.add(f"{way}: high-water mark", "bytes", event["peak_bytes"])
    sheet.add(f"{way}: capture", "bytes", event["capture_bytes"])
    first = event["top"][0]
    if first["function"] != "hold" or first["bytes"] < _LEAST:
        return f"it names {first['function']} with {first['bytes']:,} bytes first"
    if load(directory / event["stacks"]).total("peak") != event["peak_bytes"]:
        return "its stacks do not sum up to its peak"
    return None if "flamegraph_at_kill" in event else "there is no flame graph of the kill"
