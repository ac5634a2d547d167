"""Client-side rate limiting, as client-go's `QPS` and `Burst` do it: a token bucket before each request.

A controller with many workers and few tokens waits here, and not at the server: its queue grows while the API is idle.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]


class Throttle:
    """`qps` tokens a second, at most `burst` of them saved up. Waiters are served in the order in which they came."""

    def __init__(self, qps: float, burst: int, *, clock: Clock = time.monotonic, sleep: Sleep = asyncio.sleep) -> None:
        self._qps, self._burst = qps, burst
        self._clock, self._sleep = clock, sleep
        self._tokens = float(burst)
        self._at = clock()

    async def wait(self) -> None:
        """Take a token, which may be one of the future: then wait for its time."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._qps) - 1
        self._at = now
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._qps)
