"""A phase that several load workers share, as their master sees it, and what the load generator costs in all its processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from gevent.event import Event

from loadgen.outcome import News, Outcome, ended_line, started_line
from loadgen.phaserun import plan_of
from loadgen.plan import Phase
from loadgen.schedule import Schedule

PHASE, SENT_NS, DONE_NS, NAME, ERROR = 0, 4, 5, 8, 10
"""Places in a request row."""


class SharedRun:
    """Finished when all workers that were there at its start have said that their share is over, or are lost."""

    def __init__(self, phase: Phase, seed: int, workers: Collection[int], now_ns: Callable[[], int]) -> None:
        self.phase = phase
        self.began = Event()
        self.finished = Event()
        self._now_ns = now_ns
        self._times = plan_of(phase, seed)[0]
        self._schedule: Schedule | None = None
        self._waiting = set(workers)
        self._outcomes: dict[int, Outcome] = {}
        self._seen: dict[int, Outcome] = {}
        self._news = News(phase.name)
        self._check()

    @property
    def waiting(self) -> Collection[int]:
        """Workers whose share is not over."""
        return frozenset(self._waiting)

    def begin(self, start_ns: int) -> None:
        """Its clock starts at `start_ns`."""
        self._schedule = Schedule(start_ns, self._times)
        self.began.set()

    def saw(self, worker: int, row: Sequence[Any]) -> None:
        """A request row came from a worker: all that is known of its share, should it be lost."""
        seen = self._seen.get(worker, Outcome())
        good = row[ERROR] is None
        self._seen[worker] = seen + Outcome(
            done=int(good), last_sent_ns=row[SENT_NS], last_done_ns=row[DONE_NS] if good else 0
        )

    def over(self, worker: int, outcome: Outcome | None) -> None:
        """A worker's share is over. None: the worker is lost, and what it was seen to do counts."""
        if worker in self._waiting:
            self._waiting.discard(worker)
            self._outcomes[worker] = self._seen.get(worker, Outcome()) if outcome is None else outcome
            self._check()

    def news(self, error: str, name: str) -> str | None:
        """A sentence about an error that no worker has told yet; else None."""
        return self._news.tell(error, name)

    def started_line(self) -> dict[str, object]:
        """The stream's line that it began."""
        assert self._schedule is not None
        return started_line(self.phase, self._schedule)

    def ended_line(self) -> dict[str, object]:
        """The stream's line that it ended, however it did."""
        outcome = sum(self._outcomes.values(), Outcome())
        return ended_line(self.phase, self._times, self._schedule, self._now_ns(), outcome)

    def _check(self) -> None:
        if not self._waiting:
            self.finished.set()


class Costs:
    """`self` lines of master and workers made one: sums, the worst lag, and each worker's own.

    A worker's rate is bound by one CPU, so that only its own share tells whether it was at its limit.
    """

    def __init__(self, report: Callable[[Mapping[str, object]], None]) -> None:
        self._report = report
        self._latest: dict[str, dict[str, Any]] = {}

    def take(self, worker: int, line: Mapping[str, Any]) -> None:
        """A worker's line; it is told with the master's next."""
        self._keep(str(worker), line)

    def tell(self, line: Mapping[str, Any]) -> None:
        """The master's own line: tells all."""
        self._keep("master", line)
        lags = [each["loop_lag_s"] for each in self._latest.values() if each["loop_lag_s"] is not None]
        self._report(
            {
                **line,
                "cpu_s": sum(each["cpu_s"] for each in self._latest.values()),
                "rss_bytes": sum(each["rss_bytes"] for each in self._latest.values()),
                "loop_lag_s": max(lags) if lags and line["loop_lag_s"] is not None else None,
                "workers": [{"worker": name, **each} for name, each in self._latest.items()],
            }
        )
        if line["loop_lag_s"] is not None:
            for each in self._latest.values():
                each["loop_lag_s"] = None

    def _keep(self, name: str, line: Mapping[str, Any]) -> None:
        before = self._latest.get(name, {}).get("loop_lag_s")
        lag = line["loop_lag_s"]
        worst = lag if before is None else before if lag is None else max(lag, before)
        self._latest[name] = {"cpu_s": line["cpu_s"], "rss_bytes": line["rss_bytes"], "loop_lag_s": worst}
