"""Triggers: evaluated against what is known now; what opens no window is not told over and over. Fakes stand for collectors."""

from __future__ import annotations

import asyncio
from typing import Any

from harness.collectors.latency import LatencyCollector
from harness.collectors.ondemand import OnDemandCollector
from harness.experiment.triggers import Triggers
from harness.scenario.profiling import parse_trigger


class _OnDemand:
    """A collector that keeps what fired."""

    def __init__(self) -> None:
        self.may_open = True
        self.fired: list[tuple[str, float]] = []

    async def triggered(self, trigger: str, value: float) -> None:
        self.fired.append((trigger, value))
        self.may_open = False


class _Latency:
    """Latencies of one probe."""

    def __init__(self) -> None:
        self.value: float | None = None

    def so_far(self, probe: str, quantile: float) -> float | None:
        assert (probe, quantile) == ("flip", 0.99)
        return self.value


class _Witnesses:
    def __init__(self) -> None:
        self.on_demand, self.latency = _OnDemand(), _Latency()

    def find(self, kind: type[object]) -> Any:
        return {OnDemandCollector: self.on_demand, LatencyCollector: self.latency}[kind]


def _triggers(text: str, values: dict[str, float], limit: int | None = None) -> tuple[Triggers, _Witnesses]:
    witnesses = _Witnesses()
    return Triggers([parse_trigger(text)], witnesses, values.get, limit), witnesses  # type: ignore[arg-type] # a fake


def test_it_fires_when_it_begins_to_hold_and_again_when_a_window_may_be_opened() -> None:
    values: dict[str, float] = {}
    triggers, witnesses = _triggers("tasks > 5", values)

    async def main() -> None:
        await triggers.look()
        assert witnesses.on_demand.fired == []  # nothing has been sampled yet
        values["tasks"] = 5
        await triggers.look()
        assert witnesses.on_demand.fired == []
        values["tasks"] = 6
        await triggers.look()
        await triggers.look()
        assert witnesses.on_demand.fired == [("tasks > 5", 6)]
        witnesses.on_demand.may_open = True
        await triggers.look()
        assert len(witnesses.on_demand.fired) == 2

    asyncio.run(main())


def test_what_wavers_is_not_told_at_every_turn() -> None:
    values = {"tasks": 6.0}
    triggers, witnesses = _triggers("tasks > 5", values)

    async def main() -> None:
        for turn in range(20):
            values["tasks"] = 6.0 if turn % 2 == 0 else 4.0
            await triggers.look()
        assert len(witnesses.on_demand.fired) == 1

    asyncio.run(main())


def test_a_share_is_of_the_subjects_limit() -> None:
    triggers, witnesses = _triggers("memory.rss > 80% of limit", {"memory.rss": 81.0}, limit=100)
    asyncio.run(triggers.look())
    assert witnesses.on_demand.fired == [("memory.rss > 80% of limit", 81.0)]


def test_latencies_so_far_count() -> None:
    triggers, witnesses = _triggers("latency.flip.p99 > 5s", {})
    witnesses.latency.value = 5.5
    asyncio.run(triggers.look())
    assert witnesses.on_demand.fired == [("latency.flip.p99 > 5s", 5.5)]
