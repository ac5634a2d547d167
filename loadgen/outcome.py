"""What became of a phase: counted where it runs, added up where several load workers share it, and told in a line."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.plan import Phase
from loadgen.rates import UntilFailure
from loadgen.schedule import Schedule, Times

MOST_ERRORS = 50
"""Distinct errors told per phase; a server that puts something new in each message must not flood the harness."""


class News:
    """Which errors of a phase have been told."""

    def __init__(self, phase: str) -> None:
        self._phase = phase
        self._errors: set[str] = set()

    def tell(self, error: str, name: str) -> str | None:
        """A sentence about an error that has not been told yet; else None. Object names do not make it new."""
        general = error.replace(name, "NAME") if name else error
        if general in self._errors or len(self._errors) > MOST_ERRORS:
            return None
        self._errors.add(general)
        if len(self._errors) > MOST_ERRORS:
            return f"{self._phase}: more than {MOST_ERRORS} different errors; the rest are only in the request rows"
        return f"{self._phase}: {name}: {error}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Counts of a phase, or of one load worker's share of it. Times are run time; 0: never."""

    done: int = 0
    failed: int = 0
    begun: int = 0
    last_sent_ns: int = 0
    last_done_ns: int = 0
    sustained_per_s: float | None = None
    failed_at_per_s: float | None = None
    """Of a `step_until_failure`: the highest step that was kept, and the one that was not; None: no such step."""

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.done + other.done,
            self.failed + other.failed,
            self.begun + other.begun,
            max(self.last_sent_ns, other.last_sent_ns),
            max(self.last_done_ns, other.last_done_ns),
            other.sustained_per_s if self.sustained_per_s is None else self.sustained_per_s,
            other.failed_at_per_s if self.failed_at_per_s is None else self.failed_at_per_s,
        )


def started_line(phase: Phase, schedule: Schedule) -> dict[str, object]:
    """The stream's line that a phase began."""
    return _line(phase, schedule.times, "started", schedule.start_ns, Outcome(), 0.0)


def ended_line(phase: Phase, times: Times, schedule: Schedule | None, t_ns: int, outcome: Outcome) -> dict[str, object]:
    """The stream's line that a phase ended, however it did. `schedule` None: it never began."""
    achieved = 0.0
    if schedule is not None:
        achieved = schedule.achieved_per_s(outcome.done, outcome.last_sent_ns, outcome.last_done_ns)
    return _line(phase, times, "ended", t_ns, outcome, achieved)


def _line(
    phase: Phase, times: Times, state: str, t_ns: int, outcome: Outcome, achieved_per_s: float
) -> dict[str, object]:
    line: dict[str, object] = {
        "type": "phase",
        "phase": phase.name,
        "state": state,
        "t_ns": t_ns,
        "requested": phase.count,
        "done": outcome.done,
        "failed": outcome.failed,
        "requested_per_s": times.requested_per_s,
        "achieved_per_s": achieved_per_s,
    }
    if isinstance(phase.rate, UntilFailure):
        # It asks for as much as it dared to begin, not for all that it might have.
        line["requested"] = outcome.begun
        line |= {"sustained_per_s": outcome.sustained_per_s, "failed_at_per_s": outcome.failed_at_per_s}
    return line
