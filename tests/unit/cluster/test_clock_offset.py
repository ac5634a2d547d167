"""The offset of a clock that tells whole seconds only. The server, its clock and the way to it are simulated here."""

from __future__ import annotations

import asyncio
import math
import random

import pytest

from harness.cluster.clock_offset import Answer, close_in
from harness.core.clock import ClockOffset


class Server:
    """A server whose clock is `offset_s` ahead of ours; each way takes up to `way_s`."""

    def __init__(self, offset_s: float, way_s: float, seed: int) -> None:
        self.now = 1_700_000_000.37
        self.asked = 0
        self._offset_s = offset_s
        self._way_s = way_s
        self._random = random.Random(seed)

    async def ask(self) -> Answer:
        self.asked += 1
        sent = self.now
        self.now += self._random.uniform(0, self._way_s)
        told = math.floor(self.now + self._offset_s)
        self.now += self._random.uniform(0, self._way_s)
        return Answer(sent, self.now, told)

    async def sleep(self, seconds: float) -> None:
        assert 0 <= seconds <= 1
        self.now += seconds

    def measure(self) -> ClockOffset | None:
        return asyncio.run(close_in(self.ask, lambda: self.now, self.sleep))


@pytest.mark.parametrize("offset_s", [0.0, 0.5, -0.25, 3.9, -7200.123])
@pytest.mark.parametrize("way_s", [0.0005, 0.05])
def test_the_truth_is_within_the_uncertainty(offset_s: float, way_s: float) -> None:
    for seed in range(20):
        server = Server(offset_s, way_s, seed)
        found = server.measure()
        assert found is not None
        assert abs(found.offset_s - offset_s) <= found.uncertainty_s + 1e-6
        assert found.uncertainty_s <= max(0.01, 4 * way_s), (seed, found)
        assert server.asked <= 7


def test_a_clock_that_is_set_meanwhile_is_no_offset() -> None:
    answers = iter([Answer(100.0, 100.1, 100.0), Answer(101.0, 101.1, 500.0)])

    async def ask() -> Answer | None:
        return next(answers)

    async def sleep(seconds: float) -> None:
        pass

    assert asyncio.run(close_in(ask, lambda: 100.5, sleep)) is None


def test_a_server_that_tells_no_time_has_no_offset() -> None:
    async def ask() -> Answer | None:
        return None

    async def sleep(seconds: float) -> None:
        pass

    assert asyncio.run(close_in(ask, lambda: 0.0, sleep)) is None
