"""The Locust load shape of a plan: as many users as the current phase has workers."""

from __future__ import annotations

from locust import LoadTestShape

from loadgen.phaserun import PhaseRun


class PlanShape(LoadTestShape):
    """Follows `current`, the phase under way; without one the load test is over."""

    current: PhaseRun | None = None

    def tick(self) -> tuple[int, float] | None:
        """Users wanted and how many to start a second: all at once, the schedule of the plan does the pacing."""
        if self.current is None or self.current.finished.is_set():
            return None
        return self.current.workers, float(self.current.workers)
