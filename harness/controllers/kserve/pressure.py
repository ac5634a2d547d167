"""Looks at the process's own memory cgroup: an alert before the limit, and what is to be done when it comes nearer still."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from harness.controllers.kserve.series import Series
from harness.controllers.runtime import cgroup

INTERVAL_S = 0.2
"""A cache grows by some MB/s: at this interval less than 1 % of a limit of 100 MB goes by unseen."""


class Pressure:
    """Tells the share of the limit that is used; calls `relieve` once when it passes `degrade_at`. A `manager.Follower`."""

    resource = "memory cgroup"

    def __init__(
        self, series: Series, limited: cgroup.MemoryCgroup | None, *, alert_at: float, degrade_at: float,
        relieve: Callable[[str], None] | None, interval_s: float = INTERVAL_S,
    ) -> None:  # fmt: skip
        self._series, self._limited = series, limited
        self._alert_at, self._degrade_at, self._relieve = alert_at, degrade_at, relieve
        self._interval_s = interval_s
        self._log = logging.getLogger("kserve.memory")
        self.synced = asyncio.Event()
        if limited is not None:
            series.watch_memory()

    async def run(self) -> None:
        """Look, for ever."""
        if self._limited is None:
            if self._relieve is not None:
                self._log.warning("no memory limit can be seen: degrade_under_pressure has nothing to go by")
            self.synced.set()
            await asyncio.Event().wait()
            return
        self._log.info("the memory limit is %d MiB", self._limited.limit >> 20)
        alerted = False
        while True:
            try:
                alerted = self._look(self._limited, alerted=alerted)
            except (OSError, ValueError) as error:
                self._log.warning("the memory cgroup cannot be read: %s", error)
            self.synced.set()
            await asyncio.sleep(self._interval_s)

    def _look(self, limited: cgroup.MemoryCgroup, *, alerted: bool) -> bool:
        share = limited.working_set() / limited.limit
        self._series.working_set.set(share)
        above = share >= self._alert_at
        self._series.alert.set(float(above))
        if above and not alerted:
            self._log.warning("memory: %.0f %% of the limit is used", share * 100)
        if share >= self._degrade_at and self._relieve is not None:
            relieve, self._relieve = self._relieve, None
            relieve(f"{share:.0%} of the memory limit is used")
        return above
