"""`--observe`: a subject that somebody else loads. No load of ours; the run goes on until Ctrl-C, or for a time.

What a scenario expects of its own load cannot be judged then, and says so; that nothing was sent makes no run invalid.
"""

from __future__ import annotations

import asyncio

SHORTEST_S = 1.0
SETTLE_S = 10.0
"""Somebody else's load may never rest: so long is waited for quiet after the observation, and no longer."""


class Observation:
    """One observation. `end` may be called by a signal handler of the same loop."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        """How long; None: until `end`."""
        self._over: asyncio.Event | None = None

    def begin(self) -> None:
        """From now on `end` ends it: before anybody is told that it is under way."""
        self._over = asyncio.Event()

    async def wait(self) -> None:
        """Until the time is over, or somebody ends it. After `begin`."""
        assert self._over is not None
        try:
            async with asyncio.timeout(self.seconds):
                await self._over.wait()
        except TimeoutError:
            return
        finally:
            self._over = None

    def end(self) -> bool:
        """End it now; whether one was under way."""
        if self._over is None or self._over.is_set():
            return False
        self._over.set()
        return True
