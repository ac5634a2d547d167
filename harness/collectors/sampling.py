"""A steady pace for collectors that poll, with a bound on what polling may cost."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable

from harness.core.errors import RunFault

GRID_S = 0.05
_ROUNDING = 1e-6


def on_grid(moment_s: float) -> float:
    """The next moment at which all that polls looks: to wake up once for several is cheaper than once for each."""
    return math.ceil(moment_s / GRID_S - _ROUNDING) * GRID_S


class Sampler:
    """Calls `take` every `interval_s` seconds from a task of its own, until stopped.

    Where one call takes so long that polling would use more than `max_share` of a core, the interval grows until it does
    not. A call that raises ends the task; `stop` then raises a RunFault that names the failure.
    """

    def __init__(
        self, name: str, take: Callable[[], Awaitable[None]], interval_s: float, *, max_share: float = 0.05
    ) -> None:
        self.interval_s = interval_s
        """The interval now in force."""
        self._name = name
        self._take = take
        self._wanted_s = interval_s
        self._max_share = max_share
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first call comes at once."""
        self._task = asyncio.create_task(self._run(), name=f"collector-{self._name}")

    async def stop(self) -> None:
        """End; idempotent. Raises RunFault where a call had failed."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await task
            except Exception as error:
                raise RunFault(f"stopped early: {type(error).__name__}: {error}", place=self._name) from error

    async def _run(self) -> None:
        due = time.monotonic()
        while True:
            cpu = time.thread_time()
            await self._take()
            # Thread time also counts what other tasks did while `take` waited; that only errs towards polling less.
            cost = time.thread_time() - cpu
            self.interval_s = max(self._wanted_s, min(cost / self._max_share, 20 * self._wanted_s))
            now = time.monotonic()
            due = on_grid(max(due + self.interval_s, now))
            await asyncio.sleep(due - now)


class Slices:
    """Lets long work share the event loop: `await slices.pause()` between pieces yields once the budget is used up.

    The latency collector stamps watch events when the loop gets to them, so nothing here may hold the loop for long.
    """

    def __init__(self, budget_s: float = 0.003) -> None:
        self._budget_s = budget_s
        self._since = time.perf_counter()

    @property
    def spent(self) -> bool:
        """Whether the current piece has used up its budget."""
        return time.perf_counter() - self._since >= self._budget_s

    async def pause(self) -> None:
        """Yield to other tasks if the budget is used up."""
        if self.spent:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
