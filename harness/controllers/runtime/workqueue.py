"""A work queue with the semantics of client-go's, for one event loop.

- A key that waits is never queued twice (*dirty* set).
- A key that is being worked on is never handed to a second worker; added meanwhile, it comes back after `done`.
- `add_after` keeps the earlier of two deadlines; `add_rate_limited` doubles its delay at each failure until `forget`.
- After `shut_down` nothing more is taken in; what waits is still handed out, then `get` answers None.

The one limiter is per key, 5 ms doubling to 1000 s. client-go's second limiter (10 retries a second over all keys) is
left out: it protects a server from this client, and here the load on the server is what is measured.
Which of the waiting keys comes next is the business of `order`.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from harness.controllers.runtime.order import Fifo, Order, Work

Clock = Callable[[], float]


class QueueMetrics(Protocol):
    """What a queue tells about itself."""

    def added(self) -> None:
        """A key was taken in (not where it waited already)."""

    def taken(self, waited_s: float) -> None:
        """A worker got a key."""

    def finished(self, worked_s: float) -> None:
        """A worker is done with a key."""

    def retried(self) -> None:
        """A key was added with a delay because of a failure."""


class RateLimiter:
    """Exponential delay per key: `base_s * 2**failures`, at most `max_s`."""

    def __init__(self, base_s: float = 0.005, max_s: float = 1000.0) -> None:
        self._base_s, self._max_s = base_s, max_s
        self._failures: dict[str, int] = {}

    def when(self, key: str) -> float:
        """Seconds to wait before the next try; counts one more failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if failures > 60:  # 2**60 is beyond any max_s; larger powers would only overflow a float
            return self._max_s
        return float(min(self._base_s * 2**failures, self._max_s))

    def retries(self, key: str) -> int:
        """Failures since the last `forget`."""
        return self._failures.get(key, 0)

    def forget(self, key: str) -> None:
        """The key succeeded."""
        self._failures.pop(key, None)


class WorkQueue:
    """Deduplicating queue of keys. All methods belong to one event loop; none but `get` waits."""

    def __init__(
        self, *, limiter: RateLimiter | None = None, metrics: QueueMetrics | None = None, clock: Clock = time.monotonic,
        order: Order | None = None,
    ) -> None:  # fmt: skip
        self._limiter = limiter or RateLimiter()
        self._metrics = metrics
        self._clock = clock
        self._ready: Order = Fifo() if order is None else order
        self._dirty: dict[str, Work] = {}
        self._accepts: Callable[[str], bool] | None = None
        self._processing: dict[str, float] = {}  # key -> when work on it began
        self._queued_at: dict[str, float] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._delayed: dict[str, tuple[float, Work]] = {}  # when it is due; the truth, of which the heap is an index
        self._heap: list[tuple[float, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._shutting_down = False
        self.handed_out = 0
        """Keys that workers have got so far."""

    def __len__(self) -> int:
        """Keys that wait for a worker now (delayed ones are not counted)."""
        return len(self._ready)

    @property
    def delayed(self) -> int:
        """Keys that wait for their time."""
        return len(self._delayed)

    @property
    def processing(self) -> int:
        """Keys that workers are at."""
        return len(self._processing)

    def keep_to(self, accepts: Callable[[str], bool]) -> None:
        """Take in no other keys than those that `accepts`: the others are another process's."""
        self._accepts = accepts

    def add(self, key: str, work: Work = Work.CHANGED) -> None:
        """Queue `key` unless it waits already; then it may come earlier for it."""
        if self._shutting_down or (self._accepts is not None and not self._accepts(key)):
            return
        waiting = self._dirty.get(key)
        if waiting is not None:
            if work < waiting:
                self._dirty[key] = work
                if key not in self._processing:
                    self._ready.promote(key, work)
            return
        self._dirty[key] = work
        self._queued_at[key] = self._clock()
        if key not in self._processing:
            self._push(key)
        if self._metrics:
            self._metrics.added()

    async def get(self) -> str | None:
        """The next key, which is the caller's until `done(key)`; None once shut down and empty."""
        while not self._ready:
            if self._shutting_down:
                return None
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake_one()  # the wake-up was ours and is not used: pass it on
                elif waiter in self._waiters:
                    self._waiters.remove(waiter)
                raise
        key = self._ready.pop()
        now = self._clock()
        self._dirty.pop(key, None)
        self._processing[key] = now
        self.handed_out += 1
        waited = now - self._queued_at.pop(key, now)
        if self._metrics:
            self._metrics.taken(waited)
        return key

    def done(self, key: str) -> None:
        """The caller of `get` is finished with `key`; it is queued again if it was added meanwhile."""
        began = self._processing.pop(key, None)
        if began is not None and self._metrics:
            self._metrics.finished(self._clock() - began)
        if key in self._dirty:
            self._push(key)

    def add_after(self, key: str, delay_s: float, work: Work = Work.CHANGED) -> None:
        """Queue `key` in `delay_s` seconds, or at the earlier time it is waiting for already."""
        if self._shutting_down or (self._accepts is not None and not self._accepts(key)):
            return
        if delay_s <= 0:
            self.add(key, work)
            return
        due = self._clock() + delay_s
        before = self._delayed.get(key)
        if before is not None:
            work = min(work, before[1])
            if before[0] <= due:
                self._delayed[key] = before[0], work
                return
        self._delayed[key] = due, work
        heapq.heappush(self._heap, (due, key))
        if self._heap[0] == (due, key):
            self._arm()

    def add_rate_limited(self, key: str) -> None:
        """Queue `key` after a delay that doubles with each call until `forget(key)`."""
        if self._metrics:
            self._metrics.retried()
        self.add_after(key, self._limiter.when(key), Work.RETRY)

    def forget(self, key: str) -> None:
        """`key` succeeded: its next rate-limited delay starts small again."""
        self._limiter.forget(key)

    def retries(self, key: str) -> int:
        """How often `key` was added rate-limited since it was forgotten."""
        return self._limiter.retries(key)

    def shut_down(self) -> None:
        """Take in nothing more, drop what is delayed, hand out what waits; `get` then answers None to every worker."""
        self._shutting_down = True
        self._delayed.clear()
        self._heap.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._waiters:
            self._wake_one()

    def _push(self, key: str) -> None:
        self._ready.push(key, self._dirty[key])
        self._wake_one()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
        delay = max(0.0, self._heap[0][0] - self._clock())
        self._timer = asyncio.get_running_loop().call_later(delay, self._release_due)

    def _release_due(self) -> None:
        self._timer = None
        now = self._clock()
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            waiting = self._delayed.get(key)
            if waiting is not None and waiting[0] == due:  # else an earlier deadline has superseded this entry
                del self._delayed[key]
                self.add(key, waiting[1])
        if self._heap:
            self._arm()
