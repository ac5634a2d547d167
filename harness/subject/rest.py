"""When a subject without a sign of readiness has started: once it has nothing to do.

What is measured before the load is what the load is compared with: a subject that was still importing then would be charged
with its own beginning.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

import psutil

REST_S = 1.0
"""So long it must have used next to no CPU."""
LIMIT_S = 15.0
"""Some never rest: they poll. Then living this long is enough."""
_SHARE = 0.05
"""Of one CPU: less than what a process that starts gets of 2 CPUs at a load average of 20."""


async def at_rest(pids: Callable[[], Iterable[int]], timeout_s: float) -> None:
    """Return when the processes have rested, or soon before `timeout_s` is over: then it counts that they live."""
    deadline = time.monotonic() + min(LIMIT_S, timeout_s) - REST_S
    while True:
        began, used = time.monotonic(), _cpu_seconds(pids())
        await asyncio.sleep(REST_S)
        now = time.monotonic()
        if now >= deadline or _cpu_seconds(pids()) - used < _SHARE * (now - began):
            return


def _cpu_seconds(pids: Iterable[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total
