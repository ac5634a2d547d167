"""Watches what triggers of `profile: on-demand` are about, and tells the collector that opens windows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from harness.collectors.latency import LatencyCollector
from harness.collectors.ondemand import OnDemandCollector
from harness.experiment.witnesses import Witnesses
from harness.scenario.profiling import Trigger

LOOK_S = 0.25
"""Series are sampled about four times a second."""
_LATENCY_LOOK_S = 1.0
"""Quantiles of thousands of effects are computed anew each time."""
_TOLD_S = 10.0
"""What wavers around its bound, and opens no window, is told no more often than this."""


class Triggers:
    """Evaluated while the subject lives; `latest` gives the newest sample of a series, None where there is none yet."""

    def __init__(
        self,
        triggers: Sequence[Trigger],
        witnesses: Witnesses,
        latest: Callable[[str], float | None],
        limit_bytes: int | None,
    ) -> None:
        self._triggers = triggers
        self._witnesses = witnesses
        self._latest = latest
        self._limit_bytes = limit_bytes
        self._held: set[str] = set()
        self._told: dict[str, float] = {}
        self._looked = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Evaluate each trigger once."""
        collector = self._witnesses.find(OnDemandCollector)
        if collector is None:
            return
        now = time.monotonic()
        latencies = now - self._looked >= _LATENCY_LOOK_S
        if latencies:
            self._looked = now
        for trigger in self._triggers:
            if trigger.probe is not None and not latencies:
                continue
            value = self._value(trigger)
            if value is None or not trigger.fires(value, self._limit_bytes):
                self._held.discard(trigger.text)
                continue
            began = trigger.text not in self._held and now - self._told.get(trigger.text, -_TOLD_S) >= _TOLD_S
            self._held.add(trigger.text)
            if began or collector.may_open:
                self._told[trigger.text] = now
                await collector.triggered(trigger.text, value)

    def _value(self, trigger: Trigger) -> float | None:
        if trigger.probe is None:
            return self._latest(trigger.metric)
        latency = self._witnesses.find(LatencyCollector)
        assert trigger.quantile is not None
        return None if latency is None else latency.so_far(trigger.probe, trigger.quantile)
