"""What the load generator itself costs, and whether it keeps up: latencies are only as good as its event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import gevent
import psutil

REPORT_S = 1.0
PROBE_S = 0.05
"""The loop is probed by sleeping this long; how much longer it took is its lag."""


class SelfWatch:
    """Calls `report` with a `self` line at once and then every second: CPU so far, memory now, worst loop lag since."""

    def __init__(self, now_ns: Callable[[], int], report: Callable[[Mapping[str, object]], None]) -> None:
        self._now_ns = now_ns
        self._report = report
        self._process = psutil.Process()
        self._greenlet = gevent.spawn(self._run)

    def mark(self) -> None:
        """Report at once, without a lag: the CPU of a phase is known exactly only from readings at its borders."""
        self._send(None)

    def close(self) -> None:
        """Report what the last part of a second was like, and end."""
        self._greenlet.kill()
        self._send(0.0)

    def _run(self) -> None:
        self._send(0.0)
        while True:
            worst = 0.0
            end = time.monotonic() + REPORT_S
            while (began := time.monotonic()) < end:
                gevent.sleep(PROBE_S)
                worst = max(worst, time.monotonic() - began - PROBE_S)
            self._send(worst)

    def _send(self, lag_s: float | None) -> None:
        self._report(
            {
                "type": "self",
                "t_ns": self._now_ns(),
                "cpu_s": time.process_time(),
                "rss_bytes": self._process.memory_info().rss,
                "loop_lag_s": None if lag_s is None else max(lag_s, 0.0),
            }
        )
