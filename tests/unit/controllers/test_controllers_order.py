"""In which order keys are handed out, and that none starves."""

from __future__ import annotations

import asyncio

import pytest

from harness.controllers.runtime.order import Fair, Fifo, Order, Work
from harness.controllers.runtime.shards import share_of
from harness.controllers.runtime.workqueue import WorkQueue


def drained(order: Order) -> list[str]:
    return [order.pop() for _ in range(len(order))]


def test_fifo_asks_for_no_class() -> None:
    order = Fifo()
    order.push("a/maybe", Work.MAYBE)
    order.push("a/changed", Work.CHANGED)
    order.promote("a/maybe", Work.CHANGED)
    assert drained(order) == ["a/maybe", "a/changed"]


def test_what_has_changed_does_not_wait_for_what_may_have() -> None:
    order = Fair()
    for number in range(3000):
        order.push(f"ns/{number:04d}", Work.MAYBE)
    order.push("ns/changed", Work.CHANGED)
    order.push("ns/failed", Work.RETRY)
    assert {"ns/changed", "ns/failed"} <= {order.pop() for _ in range(3)}
    assert len(drained(order)) == 2999
    assert len(order) == 0


def test_nor_does_what_may_have_changed_wait_for_an_endless_stream_of_what_has() -> None:
    order = Fair()
    order.push("ns/patient", Work.MAYBE)
    for number in range(10):
        order.push(f"ns/{number}", Work.CHANGED)
        order.push(f"ns/more-{number}", Work.CHANGED)
        if order.pop() == "ns/patient":
            assert number <= 1
            return
    pytest.fail("it starves")


def test_flows_take_turns_and_each_keeps_its_order() -> None:
    order = Fair(lambda key: key[0])
    for key in ("a1", "a2", "a3", "a4", "b1", "c1", "b2"):
        order.push(key, Work.CHANGED)
    assert drained(order) == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]


def test_a_key_that_is_promoted_waits_once() -> None:
    order = Fair()
    for key in ("ns/a", "ns/b", "ns/c"):
        order.push(key, Work.MAYBE)
    order.promote("ns/c", Work.CHANGED)
    order.promote("ns/unknown", Work.CHANGED)
    assert drained(order) == ["ns/a", "ns/c", "ns/b"]


def test_the_queue_takes_the_better_of_two_classes() -> None:
    async def check() -> None:
        queue = WorkQueue(order=Fair())
        for key in ("ns/a", "ns/b", "ns/c"):
            queue.add(key, Work.MAYBE)
        queue.add("ns/c", Work.CHANGED)
        queue.add("ns/c", Work.RETRY)  # does not make it worse again
        first, second = await queue.get(), await queue.get()
        assert {first, second} == {"ns/a", "ns/c"}
        queue.add("ns/a", Work.MAYBE)  # while a worker is at it
        queue.add("ns/a", Work.CHANGED)
        queue.add("ns/d", Work.MAYBE)
        queue.done("ns/a")
        queue.done("ns/c")
        assert {await queue.get(), await queue.get()} == {"ns/a", "ns/b"}

    asyncio.run(check())


def test_a_delayed_key_keeps_its_class() -> None:
    async def check() -> None:
        queue = WorkQueue(order=Fair())
        for number in range(5):
            queue.add(f"ns/{number}", Work.MAYBE)
        queue.add_after("ns/soon", 0.01, Work.RETRY)
        queue.add_after("ns/soon", 5.0, Work.CHANGED)  # the earlier time, and the better class
        await asyncio.sleep(0.05)
        assert "ns/soon" in {await queue.get(), await queue.get()}

    asyncio.run(check())


def test_a_queue_keeps_to_its_share_and_shares_are_a_partition() -> None:
    async def check() -> None:
        queues = [WorkQueue() for _ in range(3)]
        for shard, queue in enumerate(queues):
            queue.keep_to(share_of(shard, 3))
        keys = [f"ns/{number}" for number in range(300)]
        for queue in queues:
            for key in keys:
                queue.add(key)
                queue.add_after(f"{key}-late", 1000.0)
        sizes = [len(queue) for queue in queues]
        assert sum(sizes) == 300
        assert sum(queue.delayed for queue in queues) == 300
        assert min(sizes) > 60
        for queue in queues:
            queue.shut_down()

    asyncio.run(check())
