"""One phase being carried out: who takes which request, what became of them, when it is over."""

from __future__ import annotations

from collections.abc import Callable

from gevent.event import Event

from loadgen.actions import Action
from loadgen.plan import Phase
from loadgen.schedule import Schedule

MOST_ERRORS = 50
"""Distinct errors told per phase; a server that puts something new in each message must not flood the harness."""


class PhaseRun:
    """Counts of one phase. Workers claim indexes in order until none is left, then settle each.

    `began` opens when the clock of the phase starts, `finished` when every request is settled.
    """

    def __init__(self, phase: Phase, action: Action, now_ns: Callable[[], int]) -> None:
        self.phase = phase
        self.action = action
        self.began = Event()
        self.finished = Event()
        self.done = 0
        self.failed = 0
        self._now_ns = now_ns
        self._next = 0
        self._workers = 0
        self._last_sent_ns = 0
        self._last_done_ns = 0
        self._errors: set[str] = set()
        self._schedule: Schedule | None = None

    @property
    def workers(self) -> int:
        """How many workers it needs: never more than there are requests, and one to see that there is nothing."""
        return max(1, min(self.phase.concurrency, self.phase.count))

    @property
    def schedule(self) -> Schedule:
        """Intended times; only after it began."""
        assert self._schedule is not None
        return self._schedule

    def begin(self) -> None:
        """Start the phase's clock and let the workers go."""
        self._last_done_ns = self._now_ns()
        self._schedule = Schedule(self._last_done_ns, self.phase.rate)
        self.began.set()
        if self.phase.count == 0:
            self.finished.set()

    def enlist(self) -> int:
        """A number for a new worker, from 0."""
        self._workers += 1
        return self._workers - 1

    def claim(self) -> int | None:
        """The next index nobody has; None where all are taken."""
        if self._next >= self.phase.count:
            return None
        self._next += 1
        return self._next - 1

    def settle(self, error: str | None, sent_ns: int, done_ns: int) -> None:
        """One request, first sent at `sent_ns`, is over: done, or given up with `error`."""
        self._last_sent_ns = max(self._last_sent_ns, sent_ns)
        if error is None:
            self.done += 1
            self._last_done_ns = max(self._last_done_ns, done_ns)
        else:
            self.failed += 1
        if self.done + self.failed >= self.phase.count:
            self.finished.set()

    def news(self, error: str, name: str) -> str | None:
        """A sentence about an error that this phase has not told yet; else None. Object names do not make it new."""
        general = error.replace(name, "NAME")
        if general in self._errors or len(self._errors) > MOST_ERRORS:
            return None
        self._errors.add(general)
        if len(self._errors) > MOST_ERRORS:
            return f"{self.phase.name}: more than {MOST_ERRORS} different errors; the rest are only in the request rows"
        return f"{self.phase.name}: {name}: {error}"

    def started_line(self) -> dict[str, object]:
        """The stream's line that it began."""
        return self._line("started", self.schedule.start_ns, 0.0)

    def ended_line(self) -> dict[str, object]:
        """The stream's line that it ended, however it did."""
        achieved = 0.0
        if self._schedule is not None:
            achieved = self._schedule.achieved_per_s(
                self.done, self._last_sent_ns, self._last_done_ns, self.phase.count
            )
        return self._line("ended", self._now_ns(), achieved)

    def _line(self, state: str, t_ns: int, achieved_per_s: float) -> dict[str, object]:
        return {
            "type": "phase",
            "phase": self.phase.name,
            "state": state,
            "t_ns": t_ns,
            "requested": self.phase.count,
            "done": self.done,
            "failed": self.failed,
            "requested_per_s": self.phase.rate,
            "achieved_per_s": achieved_per_s,
        }
