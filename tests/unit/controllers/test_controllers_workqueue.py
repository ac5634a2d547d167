"""Each property of client-go's work queue that the controllers rely on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from harness.controllers.runtime.workqueue import RateLimiter, WorkQueue

SHORT_S = 0.02


class Counts:
    """Keeps what a queue tells of itself."""

    def __init__(self) -> None:
        self.adds = self.retries = self.takes = self.ends = 0

    def added(self) -> None:
        self.adds += 1

    def taken(self, waited_s: float) -> None:
        assert waited_s >= 0
        self.takes += 1

    def finished(self, worked_s: float) -> None:
        assert worked_s >= 0
        self.ends += 1

    def retried(self) -> None:
        self.retries += 1


def run(test: Callable[[WorkQueue], Awaitable[None]], queue: WorkQueue | None = None) -> None:
    async def within() -> None:
        async with asyncio.timeout(5):
            await test(WorkQueue() if queue is None else queue)  # an empty queue is falsy

    asyncio.run(within())


def test_a_waiting_key_is_queued_once_and_order_is_kept() -> None:
    async def check(queue: WorkQueue) -> None:
        for key in ("a", "b", "a", "c", "b"):
            queue.add(key)
        assert len(queue) == 3
        assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]

    run(check)


def test_a_key_in_work_is_not_handed_out_again_until_done() -> None:
    async def check(queue: WorkQueue) -> None:
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0
        second = asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        assert not second.done()
        queue.done("a")
        assert await second == "a"
        queue.done("a")
        assert len(queue) == 0

    run(check)


def test_a_key_that_was_not_added_meanwhile_does_not_come_back() -> None:
    async def check(queue: WorkQueue) -> None:
        queue.add("a")
        await queue.get()
        queue.done("a")
        assert len(queue) == 0
        queue.add("a")
        assert await queue.get() == "a"

    run(check)


def test_every_waiting_worker_gets_a_key_of_its_own() -> None:
    async def check(queue: WorkQueue) -> None:
        workers = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        for key in ("a", "b", "c"):
            queue.add(key)
        assert sorted(str(key) for key in await asyncio.gather(*workers)) == ["a", "b", "c"]

    run(check)


def test_a_cancelled_worker_passes_its_wake_up_on() -> None:
    async def check(queue: WorkQueue) -> None:
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")  # wakes the first, which is cancelled before it runs
        first.cancel()
        assert await second == "a"
        assert first.cancelled()

    run(check)


def test_add_after_waits_and_keeps_the_earlier_of_two_times() -> None:
    async def check(queue: WorkQueue) -> None:
        queue.add_after("a", 60)
        queue.add_after("a", SHORT_S)
        queue.add_after("b", SHORT_S)
        queue.add_after("b", 60)
        assert len(queue) == 0
        assert queue.delayed == 2
        assert {await queue.get(), await queue.get()} == {"a", "b"}
        assert queue.delayed == 0

    run(check)


def test_the_later_time_that_was_given_up_does_not_count_any_more() -> None:
    async def check(queue: WorkQueue) -> None:
        queue.add_after("a", 2 * SHORT_S)
        queue.add_after("a", SHORT_S)
        queue.done(str(await queue.get()))
        queue.add_after("a", 60)
        await asyncio.sleep(3 * SHORT_S)
        assert (len(queue), queue.delayed) == (0, 1)

    run(check)


def test_add_after_without_a_delay_is_add() -> None:
    async def check(queue: WorkQueue) -> None:
        queue.add_after("a", 0)
        assert len(queue) == 1

    run(check)


def test_delays_double_up_to_the_limit_until_forgotten() -> None:
    limiter = RateLimiter(base_s=0.005, max_s=1000)
    assert [limiter.when("a") for _ in range(4)] == [0.005, 0.01, 0.02, 0.04]
    assert limiter.when("b") == 0.005
    assert limiter.retries("a") == 4
    for _ in range(5000):  # far beyond what a float could hold
        longest = limiter.when("a")
    assert longest == 1000
    limiter.forget("a")
    assert limiter.when("a") == 0.005


def test_rate_limited_keys_come_back_after_their_delay() -> None:
    async def check(queue: WorkQueue) -> None:
        queue.add_rate_limited("a")
        assert queue.retries("a") == 1
        assert len(queue) == 0
        assert await queue.get() == "a"
        queue.forget("a")
        assert queue.retries("a") == 0

    run(check, WorkQueue(limiter=RateLimiter(base_s=0.001)))


def test_shut_down_takes_nothing_in_hands_out_the_rest_and_ends_the_workers() -> None:
    async def check(queue: WorkQueue) -> None:
        queue.add("a")
        queue.add_after("later", SHORT_S)
        queue.shut_down()
        queue.add("b")
        queue.add_after("c", SHORT_S)
        assert await queue.get() == "a"
        queue.done("a")
        assert await queue.get() is None
        await asyncio.sleep(2 * SHORT_S)
        assert await queue.get() is None

    run(check)


def test_shut_down_wakes_all_workers() -> None:
    async def check(queue: WorkQueue) -> None:
        workers = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        queue.shut_down()
        assert await asyncio.gather(*workers) == [None] * 3

    run(check)


@pytest.mark.parametrize("twice", [False, True])
def test_metrics_count_what_was_taken_in_and_not_the_duplicates(twice: bool) -> None:
    counts = Counts()

    async def check(queue: WorkQueue) -> None:
        queue.add("a")
        if twice:
            queue.add("a")
        queue.done(str(await queue.get()))
        queue.add_rate_limited("a")
        queue.done(str(await queue.get()))

    run(check, WorkQueue(metrics=counts))
    assert (counts.adds, counts.takes, counts.ends, counts.retries) == (2, 2, 2, 1)
