"""When requests are due, and what rate was achieved.

An open model fixes the time of every request beforehand; a slow server makes latencies longer, never the load lighter
(no coordinated omission). A closed model sends as fast as its workers come back.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """The intended times of a phase that began at `start_ns`."""

    start_ns: int
    rate: float | None

    def intended_ns(self, index: int) -> int | None:
        """When request `index` is due; None in a closed model: whenever a worker is free."""
        if self.rate is None:
            return None
        return self.start_ns + round(index * SECOND_NS / self.rate)

    def achieved_per_s(self, done: int, last_sent_ns: int, last_done_ns: int, count: int) -> float:
        """Requests done per second.

        In a closed model over the time until the last answer. At a fixed rate over the time in which they were sent, at
        least that of the whole schedule: a server that cannot keep up makes workers send late, while one slow last answer
        is a matter of latency, not of rate. What is missing makes the rate lower.
        """
        if self.rate is None:
            elapsed_s = (last_done_ns - self.start_ns) / SECOND_NS
        else:
            elapsed_s = max((last_sent_ns - self.start_ns) / SECOND_NS + 1 / self.rate, count / self.rate)
        return done / elapsed_s if done and elapsed_s > 0 else 0.0
