"""The Locust load shape of a plan: as many users as the phases under way have workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gevent.event import Event
from locust import LoadTestShape


class Underway(Protocol):
    """What needs users until it is finished: a phase."""

    finished: Event

    @property
    def workers(self) -> int:
        """How many."""


class PlanShape(LoadTestShape):
    """Follows `current`, the phases under way at the same time; without any the load test is over."""

    current: Sequence[Underway] = ()

    def tick(self) -> tuple[int, float] | None:
        """Users wanted and how many to start a second: all at once, the schedule of the plan does the pacing."""
        if all(run.finished.is_set() for run in self.current):
            return None
        workers = sum(run.workers for run in self.current)
        return workers, float(workers)
