"""The token bucket before requests, and the store without indexes; time is a number here."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.controllers.runtime.resources import key_of
from harness.controllers.runtime.store import BY_NAMESPACE, Store, by_namespace
from harness.controllers.runtime.throttle import Throttle


def test_tokens_come_back_with_time_and_waiters_get_the_next_ones() -> None:
    now, slept = [100.0], []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))

    async def scenario() -> None:
        throttle = Throttle(10.0, 3, clock=lambda: now[0], sleep=sleep)
        for _ in range(5):
            await throttle.wait()
        assert slept == [0.1, 0.2]  # three at once, then one every tenth of a second
        now[0] += 0.5
        for _ in range(4):
            await throttle.wait()
        assert slept == [0.1, 0.2, 0.1]  # of five tokens two were owed, and never more than the burst is saved
        now[0] += 1000
        for _ in range(4):
            await throttle.wait()
        assert slept == [0.1, 0.2, 0.1, 0.1]

    asyncio.run(scenario())


def thing(name: str, namespace: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace}}


def test_a_store_without_indexes_finds_the_same_and_looks_at_everything() -> None:
    stores = [Store({BY_NAMESPACE: by_namespace}, indexed=indexed) for indexed in (True, False)]
    for store in stores:
        for number in range(10):
            store.put(thing(f"t{number}", f"n{number % 2}"))
        store.put(thing("t1", "n1"))
        store.remove("n0/t0")
    for place in ("n0", "n1", "n2"):
        found = [{key_of(obj) for obj in store.by_index(BY_NAMESPACE, place)} for store in stores]
        assert found[0] == found[1] == {f"{place}/t{n}" for n in range(1, 10) if place == f"n{n % 2}"}
    assert [store.examined for store in stores] == [9, 27]
