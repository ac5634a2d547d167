"""When a subject without a sign of readiness has started: once it has nothing to do.

What is measured before the load is what the load is compared with: a subject that was still importing then would be charged
with its own beginning. One that waits for a CPU uses none either, and has work to do: on a machine whose CPUs others have
it must not count as resting.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

PROC = Path("/proc")
REST_S = 1.0
"""So long it must have used next to no CPU, and not have waited for one."""
LIMIT_S = 15.0
"""Some never rest: they poll. Then living this long is enough."""
_SHARE = 0.05
"""Of one CPU: less than what a process that starts gets of 2 CPUs at a load average of 20."""


async def at_rest(pids: Callable[[], Iterable[int]], timeout_s: float) -> None:
    """Return when the processes have rested, or soon before `timeout_s` is over: then it counts that they live."""
    deadline = time.monotonic() + min(LIMIT_S, timeout_s) - REST_S
    while True:
        began, used = time.monotonic(), _busy_seconds(pids())
        await asyncio.sleep(min(REST_S, max(0.0, deadline - began)))
        now = time.monotonic()
        if now >= deadline:
            return
        if _busy_seconds(pids()) - used < _SHARE * (now - began) and not _waits(pids()):
            return


def _busy_seconds(pids: Iterable[int]) -> float:
    """CPU time used, and time for which a thread could have run and was not let."""
    known = list(pids)
    return _cpu_seconds(known) + _delay_seconds(known)


def _cpu_seconds(pids: Iterable[int]) -> float:
    total = 0.0
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def _delay_seconds(pids: Iterable[int]) -> float:
    """Time that threads have waited for a CPU, as far as the kernel has booked it; 0 where it keeps no such account."""
    total = 0.0
    for thread in _threads(pids):
        with contextlib.suppress(OSError, ValueError, IndexError):
            total += int((thread / "schedstat").read_text().split()[1]) / 1e9
    return total


def _waits(pids: Iterable[int]) -> bool:
    """Whether a thread waits for a CPU or the disk now, or is stopped: such a wait is booked only when it is over, if ever."""
    for thread in _threads(pids):
        with contextlib.suppress(OSError, IndexError):
            if (thread / "stat").read_text().rpartition(")")[2].split()[0] in "RDTt":
                return True
    return False


def _threads(pids: Iterable[int]) -> list[Path]:
    found: list[Path] = []
    for pid in pids:
        with contextlib.suppress(OSError):
            found += (PROC / str(pid) / "task").iterdir()
    return found
