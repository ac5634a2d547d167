"""A Go process profiled once, by hand: heap and goroutines at both ends of a window, its CPU in between."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from harness.collectors.gopull import CPU, GOROUTINES, HEAP, fetch
from harness.collectors.goruntime import page
from harness.core.errors import RunFault

_GRACE_S = 10.0
_SNAPSHOTS = ((HEAP.kind, "heap"), (GOROUTINES.kind, "goroutine"))


@dataclass(slots=True)
class PulledByHand:
    """What came of it: files below `folder`."""

    url: str
    folder: Path
    seconds: float
    files: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


async def pull(url: str, seconds: float, folder: Path, prefix: str, stop: asyncio.Event) -> PulledByHand:
    """Write `profiles/{heap,goroutine}-PREFIX-{begin,end}.pprof` and `profiles/cpu-PREFIX.pprof` below `folder`.

    CPU is sampled for whole seconds, and not kept where `stop` was set before. Raises RunFault where pprof does not answer; a
    CPU profile that is refused is a problem of `pulled`.
    """
    pulled = PulledByHand(url, folder, seconds)
    profiles = folder / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)

    def keep(name: str, raw: bytes) -> None:
        (profiles / f"{name}.pprof").write_bytes(raw)
        pulled.files.append(f"profiles/{name}.pprof")

    async def snapshot(when: str) -> None:
        for kind, name in _SNAPSHOTS:
            keep(f"{name}-{prefix}-{when}", await fetch(page(url, kind)))

    began = time.monotonic()
    await snapshot("begin")
    whole = max(1, math.floor(seconds))
    timeout = aiohttp.ClientTimeout(total=whole + _GRACE_S)
    cpu = asyncio.ensure_future(fetch(page(url, CPU.kind), timeout, seconds=str(whole)))
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({cpu, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if cpu.done():
            keep(f"cpu-{prefix}", cpu.result())
    except RunFault as error:  # one CPU profile at a time: the run itself may take one
        pulled.problems.append(f"no CPU profile: {error}")
        left = began + seconds - time.monotonic()
        await asyncio.wait({stopped}, timeout=max(0.0, left))
    finally:
        for task in (cpu, stopped):
            task.cancel()
        await asyncio.gather(cpu, stopped, return_exceptions=True)
    await snapshot("end")
    return pulled
