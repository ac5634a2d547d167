"""When a system is settled: nothing has moved for a while, and no work waits.

"Nothing moved" is the absence of watch events on the scenario's kinds, which the harness sees itself; "no work waits" is the
subject's own queue depth, where it tells one. Two cases need more patience than `quiet_for`: effects that must still come
(a slow controller pauses between events), and a subject that has not begun to react yet.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from harness.collectors.latency import LatencyCollector
from harness.collectors.metrics import MetricsCollector

_POLL_SECONDS = 0.1
_PATIENCE = 5
"""While effects are missing, quiet must last this many times longer before it counts as the end."""


async def settle(
    latency: LatencyCollector,
    metrics: MetricsCollector | None,
    *,
    quiet_for: float,
    timeout: float,
    waiting: Callable[[], int] = lambda: 0,
) -> bool:
    """Wait until the system is quiet; False where `timeout` seconds passed first.

    `waiting`: answers that others than the subject owe, and that will come: fake agents take their time.
    """
    started = time.monotonic()
    while time.monotonic() - started < timeout:
        elapsed = time.monotonic() - started
        quiet = min(latency.quiet_seconds(), elapsed)
        busy = waiting() > 0 or (metrics is not None and (metrics.queue_depth() or 0) > 0)
        needed = quiet_for * (_PATIENCE if latency.missing() else 1)
        if not busy and quiet >= needed:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False
