"""An observation that somebody ends: from the moment on at which they are told of it."""

from __future__ import annotations

import asyncio

import pytest

from harness.experiment.observe import Observation


def test_it_can_be_ended_before_it_is_waited_for() -> None:
    async def scenario() -> None:
        observation = Observation(None)
        assert observation.end() is False, "there is none yet"
        observation.begin()
        assert observation.end() is True
        assert observation.end() is False, "a second Ctrl-C interrupts the run"
        async with asyncio.timeout(20):
            await observation.wait()
        assert observation.end() is False

    asyncio.run(scenario())


@pytest.mark.parametrize("seconds", [0.01, 0.0])
def test_it_ends_by_itself_when_its_time_is_over(seconds: float) -> None:
    async def scenario() -> None:
        observation = Observation(seconds)
        observation.begin()
        async with asyncio.timeout(20):
            await observation.wait()

    asyncio.run(scenario())
