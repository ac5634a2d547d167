"""One phase being carried out: who takes which request, what became of them, when it is over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import gevent
from gevent.event import Event

from loadgen.actions import Action
from loadgen.fields import Fields
from loadgen.outcome import News, Outcome, ended_line, started_line
from loadgen.plan import Phase
from loadgen.rates import UntilFailure
from loadgen.rounds import OVERDUE, Round, churn_rounds, steps_of
from loadgen.schedule import Schedule, Times, times_of


@dataclass(frozen=True, slots=True)
class Share:
    """Which requests of a phase are for this process: every `of`-th, from `number` (from 0) on.

    The share follows from the index alone, so that intended times stay those of the whole schedule and no request is
    made twice or left out. Phases of several rounds are not shared: only who sees all requests knows when a round is over.
    """

    number: int = 0
    of: int = 1

    def indexes(self, phase: Phase) -> range:
        """Those of the phase's requests."""
        if phase.action == "churn" or isinstance(phase.rate, UntilFailure):
            return range(phase.count if self.number == 0 else 0)
        return range(self.number, phase.count, self.of)

    def places(self, phase: Phase) -> int:
        """How many senders this process needs for the phase: one at least, to see that there is nothing."""
        indexes = self.indexes(phase)
        return max(1, min(math.ceil(phase.concurrency / indexes.step), len(indexes)))


WHOLE = Share()


class PhaseRun:
    """Counts of one phase. Workers claim indexes in order until none is left, then settle each.

    `began` opens when the clock of the phase starts, `finished` when every request is settled, or none more is to be sent.
    """

    def __init__(
        self, phase: Phase, action: Action, now_ns: Callable[[], int], seed: int = 0, share: Share = WHOLE
    ) -> None:
        self.phase = phase
        self.action = action
        self.began = Event()
        self.finished = Event()
        self.done = 0
        self.failed = 0
        self.sustained_per_s: float | None = None
        self.failed_at_per_s: float | None = None
        """Of a `step_until_failure`: the highest step that was kept, and the one that was not; None: no such step."""
        self._now_ns = now_ns
        self._times, self._rounds = plan_of(phase, seed)
        self._share = share
        self._indexes = share.indexes(phase) if self._rounds else range(0)
        self._round: _Current | None = None
        self._moved = Event()
        self._claimed = 0
        self._workers = 0
        self._last_sent_ns = 0
        self._last_done_ns = 0
        self._news = News(phase.name)
        self._schedule: Schedule | None = None

    @property
    def workers(self) -> int:
        """How many workers it needs."""
        return self._share.places(self.phase)

    @property
    def free_places(self) -> int:
        """How many workers it still needs."""
        return self.workers - self._workers

    def intended_ns(self, index: int) -> int | None:
        """When a claimed request is due; None where it is due whenever a worker is free."""
        assert self._schedule is not None
        assert self._round is not None
        offset = self._round.plan.offset_ns(index)
        return self._schedule.intended_ns(index) if offset is None else self._round.began_ns + offset

    def begin(self, start_ns: int | None = None) -> None:
        """Start the phase's clock, now or as of `start_ns`, and let the workers go."""
        self._last_done_ns = self._now_ns() if start_ns is None else start_ns
        self._schedule = Schedule(self._last_done_ns, self._times)
        self._next_round(0 if self._indexes else len(self._rounds))
        self.began.set()

    def close(self) -> None:
        """Let no more requests begin."""
        self.finished.set()
        self._wake()

    def enlist(self) -> int:
        """A number for a new worker, from 0, that none has in any process that shares the phase."""
        self._workers += 1
        return (self._workers - 1) * self._share.of + self._share.number

    def claim(self) -> int | None:
        """The next index nobody has, as soon as its round has begun; None where all are taken, or it is over."""
        while not self.finished.is_set() and self._claimed < len(self._indexes):
            index = self._indexes[self._claimed]
            if self._round is not None and index < self._round.plan.end:
                self._claimed += 1
                return index
            self._moved.wait()
        return None

    def settle(self, error: str | None, sent_ns: int, done_ns: int) -> None:
        """One request, first sent at `sent_ns`, is over: done, or given up with `error`."""
        self._last_sent_ns = max(self._last_sent_ns, sent_ns)
        if error is None:
            self.done += 1
            self._last_done_ns = max(self._last_done_ns, done_ns)
        else:
            self.failed += 1
        current = self._round
        if current is not None and self.done + self.failed >= self._own(current.plan) and not self.finished.is_set():
            self._round_over(current)

    def news(self, error: str, name: str) -> str | None:
        """See `News.tell`."""
        return self._news.tell(error, name)

    def started_line(self) -> dict[str, object]:
        """The stream's line that it began."""
        assert self._schedule is not None
        return started_line(self.phase, self._schedule)

    def ended_line(self) -> dict[str, object]:
        """The stream's line that it ended, however it did."""
        return ended_line(self.phase, self._times, self._schedule, self._now_ns(), self.outcome())

    def outcome(self) -> Outcome:
        """What became of it so far, of this process's share."""
        return Outcome(
            self.done,
            self.failed,
            self._claimed,
            self._last_sent_ns,
            self._last_done_ns,
            self.sustained_per_s,
            self.failed_at_per_s,
        )

    # -- rounds --------------------------------------------------------------------------------------------------------

    def _next_round(self, number: int) -> None:
        if number >= len(self._rounds):
            self.close()
            return
        current = _Current(number, self._rounds[number], self._now_ns(), self.done, self.failed)
        self._round = current
        if current.plan.length_s is not None:
            gevent.spawn_later(OVERDUE * current.plan.length_s, self._overdue, current)
        self._wake()

    def _own(self, plan: Round) -> int:
        """Requests up to the end of a round that are this process's."""
        return len(self._indexes) if plan.end >= self._indexes.stop else plan.end

    def _round_over(self, current: _Current) -> None:
        if current.plan.rate is not None:
            sent_after_ns = self._last_sent_ns - current.began_ns
            if not current.plan.sustained(self.done - current.done, self.failed - current.failed, sent_after_ns):
                self.failed_at_per_s = current.plan.rate
                self.close()
                return
            self.sustained_per_s = current.plan.rate
        following = current.number + 1
        pause_s = self._rounds[following].pause_s if following < len(self._rounds) else 0.0
        if pause_s:
            gevent.spawn_later(pause_s, self._next_round, following)
        else:
            self._next_round(following)

    def _overdue(self, current: _Current) -> None:
        if self._round is current and not self.finished.is_set():
            self.failed_at_per_s = current.plan.rate
            self.close()

    def _wake(self) -> None:
        moved, self._moved = self._moved, Event()
        moved.set()


class _Current:
    """The round under way: since when, and what was done and failed before it."""

    __slots__ = ("began_ns", "done", "failed", "number", "plan")

    def __init__(self, number: int, plan: Round, began_ns: int, done: int, failed: int) -> None:
        self.number = number
        self.plan = plan
        self.began_ns = began_ns
        self.done = done
        self.failed = failed


def plan_of(phase: Phase, seed: int) -> tuple[Times, list[Round]]:
    """The times and rounds of a phase; without requests it has no rounds."""
    source = f"{seed}/{phase.name}"
    if isinstance(phase.rate, UntilFailure):
        return times_of(phase.rate, phase.count, source), steps_of(phase.rate, phase.count)
    if phase.action != "churn" or not phase.count:
        return times_of(phase.rate, phase.count, source), [Round(0, phase.count)] if phase.count else []
    params = Fields(phase.params, f"{phase.place}.params")
    share, delay_s = params.integer("share", minimum=1), params.positive_or_zero("delay_s")
    times = times_of(phase.rate, phase.count, source, pause_every=2 * share, pause_s=delay_s)
    return times, churn_rounds(share, phase.count // (2 * share), delay_s, paced=times.rate is not None)
