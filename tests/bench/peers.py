"""Benchmark `kube-burner`: the load generator beside kube-burner, alternating on one cluster; only where its binary is given."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from harness.core.errors import RunFault
from harness.core.handles import Progress
from harness.kube.api import Api
from harness.kube.watch import WatchEvent, follow
from tests.bench import proc
from tests.bench.creates import CONCURRENCY, SECRET, Sides, sides
from tests.bench.kubeburner import VARIABLE, KubeBurner, binary
from tests.bench.rounds import Rounds
from tests.bench.senders import Loadgen, Sent, measure
from tests.bench.sheet import Sheet
from tests.bench.statistics import pair_ratios

COUNT, WARM_UP = 3000, 300
RATE = "rate, load generator / kube-burner"
CPU = "CPU per create, load generator / kube-burner"
MEMORY = "peak RSS, load generator / kube-burner"
_TIMEOUT_S = 300.0
_QUIET_S = 5.0
_SYNC_S = 30.0


class Arrivals:
    """When the first and the last object of a namespace came to be, as a watch saw it: one witness for both sides."""

    def __init__(self) -> None:
        self.first_ns = 0
        self.last_ns = 0
        self.count = 0
        self.synced = asyncio.Event()
        self.on_first: Callable[[], None] | None = None

    def take(self, event: WatchEvent) -> None:
        """One event of the watch."""
        if event.type == "SYNCED":
            self.synced.set()
        elif event.type == "ADDED":
            self.count += 1
            self.last_ns = event.received_ns
            if self.count == 1:
                self.first_ns = event.received_ns
                if self.on_first is not None:
                    self.on_first()

    @property
    def per_s(self) -> float:
        """From the first to the last of them."""
        return (self.count - 1) / ((self.last_ns - self.first_ns) / 1e9) if self.last_ns > self.first_ns else 0.0

    async def all_of(self, count: int) -> None:
        """Until so many have come, or none any more for a while."""
        until = time.monotonic() + _QUIET_S
        seen = self.count
        while self.count < count and time.monotonic() < until:
            await asyncio.sleep(0.05)
            if self.count != seen:
                seen, until = self.count, time.monotonic() + _QUIET_S


@asynccontextmanager
async def watching(api: Api, namespace: str) -> AsyncIterator[Arrivals]:
    """A watch on the Secrets of a namespace, synced."""
    arrivals = Arrivals()
    task = asyncio.create_task(follow(api, SECRET, arrivals.take, namespace, True))
    try:
        async with asyncio.timeout(_SYNC_S):
            await arrivals.synced.wait()
        yield arrivals
    except TimeoutError:
        raise RunFault(f"a watch was not ready within {_SYNC_S:.0f} s", place=namespace) from None
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def by_loadgen(api: Api, plan: Mapping[str, Any], directory: Path) -> Sent:
    """One turn of the load generator; its rate is the witness's."""
    async with watching(api, plan["namespace"]) as arrivals:
        sent = await measure(Loadgen, plan, directory)
        await arrivals.all_of(sent.done)
    return Sent(sent.done, sent.failed, arrivals.per_s, sent.cpu_s, sent.peak_rss_bytes, sent.harness_cpu_s, sent.error)


async def by_kube_burner(api: Api, program: Path, kubeconfig: Path, plan: Mapping[str, Any], directory: Path) -> Sent:
    """One turn of kube-burner: CPU from its first object on, so that its start does not count; memory of its whole life."""
    count = plan["phases"][0]["count"]
    starting_s = 0.0
    async with watching(api, plan["namespace"]) as arrivals:
        sender = await KubeBurner.start(program, plan, kubeconfig, directory)

        def first() -> None:
            nonlocal starting_s
            with suppress(RunFault):
                starting_s = proc.cpu_s(sender.pid, "kube-burner")

        arrivals.on_first = first
        ended = await sender.ended(_TIMEOUT_S)
        await arrivals.all_of(count)
    return Sent(
        done=arrivals.count,
        failed=count - arrivals.count,
        per_s=arrivals.per_s,
        cpu_s=ended.cpu_s - starting_s,
        peak_rss_bytes=ended.max_rss_bytes,
        harness_cpu_s=0.0,
        error=None,
    )


class KubeBurnerBenchmark:
    """Creates Secrets, in turn by the load generator and by kube-burner."""

    name = "kube-burner"
    title = f"create {COUNT:,} Secrets of 2-5 KB as fast as it goes: load generator and kube-burner"
    method = (
        f"the load generator ({CONCURRENCY} at a time) and the binary of {VARIABLE}, in turn on one embedded cluster (every "
        "second pair the other way round), each in an empty namespace that a watch of ours looks at: rate from its first to its "
        "last object; CPU of kube-burner from its first object on; peak resident sets"
    )
    rounds = 5
    share = 0.15
    headline = RATE

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        program = binary()
        if program is None:
            sheet.skip(f"{VARIABLE} names no kube-burner binary, so there is nothing to compare with")
            return
        progress.step("kube-burner: a cluster")
        async with sides(directory, progress) as bench:
            turns = _turns(bench, program)
            _, wrong = await bench.turn(turns["load generator"], "warm-up", WARM_UP, seed=0)
            if wrong is not None:
                sheet.problem(f"warm-up: {wrong}")
                return
            for number in rounds:
                pair: dict[str, Sent] = {}
                for name in turns if number % 2 else reversed(turns):
                    progress.step(f"kube-burner: round {number} of {rounds.wanted}, {name}")
                    place = f"{name.replace(' ', '-')}-{number}"
                    sent, wrong = await bench.turn(turns[name], place, COUNT, seed=number)
                    if wrong is not None:
                        sheet.problem(f"round {number}, {name}: {wrong}")
                        break
                    pair[name] = sent
                if len(pair) == len(turns):
                    _write(sheet, pair["load generator"], pair["kube-burner"])


def _turns(bench: Sides, program: Path) -> dict[str, Callable[[Mapping[str, Any], Path], Awaitable[Sent]]]:
    return {
        "load generator": lambda plan, place: by_loadgen(bench.api, plan, place),
        "kube-burner": lambda plan, place: by_kube_burner(bench.api, program, bench.kubeconfig, plan, place),
    }


def _write(sheet: Sheet, ours: Sent, peer: Sent) -> None:
    sheet.extend(RATE, "ratio", pair_ratios([ours.per_s], [peer.per_s]))
    sheet.extend(CPU, "ratio", pair_ratios([ours.cpu_s / ours.done], [peer.cpu_s / peer.done]))
    sheet.extend(MEMORY, "ratio", pair_ratios([ours.peak_rss_bytes], [peer.peak_rss_bytes]))
    for name, sent in (("load generator", ours), ("kube-burner", peer)):
        sheet.add(f"rate, {name}", "per_second", sent.per_s)
        sheet.add(f"CPU per create, {name}", "seconds", sent.cpu_s / sent.done)
        sheet.add(f"peak RSS, {name}", "bytes", sent.peak_rss_bytes)
