"""Rounds: stretches of a phase of which the next begins only when all requests of the last are settled.

Most phases are one round. A churn deletes in one and creates again in the next: an object must be gone before it can be
made anew. A `step_until_failure` judges each of its steps before it dares the next.
"""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.rates import UntilFailure
from loadgen.schedule import SECOND_NS

SHORTFALL = 0.05
"""Share of a step's rate that may be missing before the step counts as not sustained."""
MOST_FAILED = 0.01
"""Share of a step's requests that may fail."""
OVERDUE = 2.0
"""A step that takes this many times its length is given up: it is not sustained, whatever still comes."""


@dataclass(frozen=True, slots=True)
class Round:
    """Requests `first` to `end` - 1."""

    first: int
    end: int
    pause_s: float = 0.0
    """Rest before it."""
    rate: float | None = None
    """Of a step: its own rate, from when it begins. Other rounds go by the phase's schedule."""

    @property
    def length_s(self) -> float | None:
        """How long a step should take."""
        return None if self.rate is None else (self.end - self.first) / self.rate

    def offset_ns(self, index: int) -> int | None:
        """When a request of a step is due after the step began; None where the phase's schedule says."""
        return None if self.rate is None else round((index - self.first) * SECOND_NS / self.rate)

    def sustained(self, done: int, failed: int, sent_after_ns: int) -> bool:
        """Whether a step kept its rate; its last request was sent `sent_after_ns` after it began."""
        assert self.rate is not None
        count = self.end - self.first
        elapsed_s = max(sent_after_ns / SECOND_NS + 1 / self.rate, count / self.rate)
        return done / elapsed_s >= self.rate * (1 - SHORTFALL) and failed <= count * MOST_FAILED


def steps_of(rate: UntilFailure, count: int) -> list[Round]:
    """The steps for which `count` requests suffice; none is cut short, for a short one proves nothing."""
    rounds: list[Round] = []
    first = 0
    for per_s in rate.rates():
        end = first + max(1, round(per_s * rate.each_s))
        if end > count:
            break
        rounds.append(Round(first, end, rate=per_s))
        first = end
    return rounds


def churn_rounds(share: int, cycles: int, delay_s: float, *, paced: bool) -> list[Round]:
    """Deletions and creations in turn, `share` each. Where the phase is `paced`, its schedule holds the delays."""
    return [
        Round(number * share, (number + 1) * share, 0.0 if paced or number % 2 or not number else delay_s)
        for number in range(2 * cycles)
    ]
