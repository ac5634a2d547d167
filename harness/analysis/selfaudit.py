"""What a run says of itself: did the load go out as planned, and was the machine there for it? By phase, from the record.

Nothing here judges; `analysis.trust` does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.facts import EVER, Facts
from harness.record.models import Phase
from harness.scenario.names import phases
from harness.scenario.rates import Changing

_LAG_WINDOW_NS = 1_000_000_000  # a lag sample is the worst of the second before it
# What a counter grew by in a stretch: from the last reading before it to the first after it, which are taken at the borders
# of phases; without one of them from the first or to the last reading within.
_GROWN = (
    "coalesce(arg_min(value, t_ns) FILTER (t_ns >= $2), arg_max(value, t_ns) FILTER (t_ns >= $1)) "
    "- coalesce(arg_max(value, t_ns) FILTER (t_ns <= $1), arg_min(value, t_ns) FILTER (t_ns <= $2))"
)
_COVERED = 0.5  # share of a stretch that the samples of a counter must span to say anything of it


@dataclass(frozen=True, slots=True)
class PhaseAudit:
    """One load phase. None: not witnessed, or not defined: at `rate: max` a request is meant when it is sent, so none slips.

    Requests, retries and slip are its own also where others ran at the same time (`beside`); all else, of the generator, the
    API server and the machine, is then of all of them together.
    """

    phase: Phase
    seconds: float
    requests: int
    retries: int
    slip_p50_s: float | None
    slip_p99_s: float | None
    generator_cores: float | None
    generator_lag_s: float | None
    harness_lag_s: float | None
    apiserver_cores: float | None
    inflight: float | None
    rejected: float | None
    slowest: tuple[str, float] | None
    """The verb with the highest p99 as the API server timed it, and that p99 in seconds."""
    steal: float | None
    """Share of the machine's CPU time."""
    others: float | None
    """Share of the machine's CPU time used by programs that are no part of the run."""
    pressure: float | None
    beside: tuple[str, ...] = ()
    """Load phases that ran at the same time."""
    failing_cores: float | None = None
    """Of a step_until_failure that found its limit: CPU of the generator, in cores, while the step was not kept."""


class SelfAudit:
    """Questions about the run itself; counters are read once each."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._cpus = max(1, facts.run.machine.cpus)
        self._series: dict[tuple[str, str], Sequence[tuple[int, float]]] = {}

    def phases(self) -> list[PhaseAudit]:
        """Every load phase that ended, in order; one that a kill cut short ends with the kill."""
        return [self._phase(phase) for phase in self._facts.load_phases if phase.ended_ns is not None]

    def span(self) -> tuple[int, int] | None:
        """From the first intended request to the end of the last phase but `end`: when results are made."""
        begin = self._facts.load_started_ns
        if begin is None:
            return None
        ends = [phase.ended_ns for phase in self._facts.run.phases if phase.action != "end" and phase.ended_ns]
        return (begin, max(ends)) if ends and max(ends) > begin else None

    def generator(self, start_ns: int, end_ns: int) -> float | None:
        """CPU of the load generator, in cores. Of several load workers that of the busiest: each is one thread."""
        found = self._facts.record.sql("SELECT DISTINCT labels::VARCHAR FROM samples WHERE metric = 'load.worker.cpu'")
        each = [self.grown("load.worker.cpu", start_ns, end_ns, labels) for (labels,) in found]
        if not each:
            return self.grown("load.cpu", start_ns, end_ns)
        return max((cores for cores in each if cores is not None), default=None)

    def grown(self, metric: str, start_ns: int, end_ns: int, labels: str = "{}") -> float | None:
        """By how much a cumulative series grew, per second; between samples it is taken to grow evenly."""
        points = self._points(metric, labels)
        if len(points) < 2:
            return None
        start, end = max(start_ns, points[0][0]), min(end_ns, points[-1][0])
        if end <= start or end - start < _COVERED * (end_ns - start_ns):
            return None
        return (_at(points, end) - _at(points, start)) / ((end - start) / 1e9)

    def highest(self, metric: str, start_ns: int, end_ns: int, *, window_ns: int = 0) -> float | None:
        """The highest sample of an unlabelled series that is about a moment in the stretch."""
        found = [value for t_ns, value in self._points(metric) if start_ns <= t_ns <= end_ns + window_ns]
        return max(found, default=None)

    def lag(self, metric: str, start_ns: int, end_ns: int) -> float | None:
        """The worst delay of an event loop."""
        return self.highest(metric, start_ns, end_ns, window_ns=_LAG_WINDOW_NS)

    def mean(self, metric: str, start_ns: int, end_ns: int) -> float | None:
        """The mean of an unlabelled series, each sample being about the second before it."""
        found = [value for t_ns, value in self._points(metric) if start_ns <= t_ns <= end_ns + _LAG_WINDOW_NS]
        return sum(found) / len(found) if found else None

    def steal(self, start_ns: int, end_ns: int) -> float | None:
        """Share of the machine's CPU time that its host gave to others."""
        cores = self.grown("host.cpu.steal", start_ns, end_ns)
        return None if cores is None else cores / self._cpus

    def others(self, start_ns: int, end_ns: int) -> float | None:
        """Share of the machine's CPU time used by what is no part of the run; None where a part of it is unknown."""
        busy = self.grown("host.cpu.busy", start_ns, end_ns)
        own = [self.grown(metric, start_ns, end_ns) for metric in ("cpu.seconds", "controlplane.cpu", "overhead.cpu")]
        if busy is None or None in own:
            return None
        load = sum(self.grown(metric, start_ns, end_ns) or 0.0 for metric in ("load.cpu", "agents.cpu"))
        return max(0.0, busy - load - sum(cores for cores in own if cores is not None)) / self._cpus

    def inflight(self, start_ns: int, end_ns: int) -> float | None:
        """Most requests in flight in the API server, reading and writing together."""
        return self._facts.scalar(
            "SELECT max(n) FROM (SELECT sum(value) AS n FROM samples WHERE metric = 'apiserver.inflight' "
            "AND t_ns BETWEEN ? AND ? GROUP BY t_ns)",
            start_ns,
            end_ns + _LAG_WINDOW_NS,  # the server tells of the second before
        )

    def rejected(self, start_ns: int = 0, end_ns: int = EVER) -> float | None:
        """Requests that the API server refused with 429, in a stretch or from the first reading to the last."""
        return self._facts.scalar(
            f"SELECT {_GROWN} FROM samples WHERE metric = 'apiserver.rejected'",
            start_ns,
            end_ns,
        )

    def durations(self, start_ns: int = 0, end_ns: int = EVER) -> Mapping[str, float]:
        """p99 by verb as the API server timed it, in a stretch or over the whole load: the upper border of its bucket.

        Of what is slower than the last border, that border.
        """
        rows = self._facts.record.sql(
            f"SELECT labels->>'verb' AS verb, (labels->>'le')::DOUBLE AS border, {_GROWN} AS n "
            "FROM samples WHERE metric = 'apiserver.duration' GROUP BY 1, 2 HAVING n IS NOT NULL ORDER BY 1, 2",
            (start_ns, end_ns),
        )
        by_verb: dict[str, list[tuple[float, float]]] = {}
        for verb, border, count in rows:
            by_verb.setdefault(verb, []).append((border, count))
        found = {}
        for verb, buckets in by_verb.items():
            total = buckets[-1][1]  # `+Inf` counts all
            finite = [border for border, _ in buckets if border != float("inf")]
            if total > 0 and finite:
                found[verb] = next((border for border in finite if dict(buckets)[border] >= 0.99 * total), finite[-1])
        return found

    def slip(self, *phases: str) -> tuple[float, float] | None:
        """p50 and p99 of the time from intended to sent, over the first attempts of phases at a fixed rate."""
        rows = self._facts.record.sql(
            "SELECT quantile_disc((sent_ns - intended_ns) / 1e9, [0.5, 0.99]) FROM requests "
            "WHERE attempt = 1 AND list_contains(?, phase)",
            [list(phases)],
        )
        return None if not rows or rows[0][0] is None else (float(rows[0][0][0]), float(rows[0][0][1]))

    def _phase(self, phase: Phase) -> PhaseAudit:
        start, end = phase.started_ns, phase.ended_ns
        assert end is not None
        counts = self._facts.record.sql(
            "SELECT count(*), count(*) FILTER (attempt > 1) FROM requests WHERE phase = ?", [phase.name]
        )
        slip = self.slip(phase.name) if phase.requested_per_s else None
        verbs = self.durations(start, end)
        slowest = max(verbs.items(), key=lambda item: item[1], default=None)
        return PhaseAudit(
            phase=phase,
            seconds=(end - start) / 1e9,
            requests=int(counts[0][0]),
            retries=int(counts[0][1]),
            slip_p50_s=slip and slip[0],
            slip_p99_s=slip and slip[1],
            generator_cores=self.generator(start, end),
            generator_lag_s=self.lag("load.loop_lag", start, end),
            harness_lag_s=self.lag("overhead.loop_lag", start, end),
            apiserver_cores=self.grown("apiserver.cpu", start, end),
            inflight=self.inflight(start, end),
            rejected=self.rejected(start, end),
            slowest=slowest,
            steal=self.steal(start, end),
            others=self.others(start, end),
            pressure=self.mean("host.pressure.cpu", start, end),
            beside=tuple(
                other.name
                for other in self._facts.load_phases
                if other is not phase and other.started_ns < end and (other.ended_ns or EVER) > start
            ),
            failing_cores=self._failing_cores(phase, start, end),
        )

    def _failing_cores(self, phase: Phase, start_ns: int, end_ns: int) -> float | None:
        """Over the last step, which was not kept: the average over all steps says little of the one that mattered."""
        if phase.failed_at_per_s is None:
            return None
        step = next((each.step for each in phases(self._facts.scenario) if each.name == phase.name), None)
        rate = getattr(step, "rate", None)
        each_s = rate.seconds if isinstance(rate, Changing) else 0.0
        return self.generator(max(start_ns, end_ns - round(max(each_s, 1.0) * 1e9)), end_ns)

    def _points(self, metric: str, labels: str = "{}") -> Sequence[tuple[int, float]]:
        if (metric, labels) not in self._series:
            self._series[metric, labels] = self._facts.record.sql(
                "SELECT t_ns, value FROM samples WHERE metric = ? AND labels = ? ORDER BY t_ns", [metric, labels]
            )
        return self._series[metric, labels]


def _at(points: Sequence[tuple[int, float]], t_ns: int) -> float:
    """The value of a series at a moment within it, on the straight line between two samples."""
    before = max((point for point in points if point[0] <= t_ns), key=lambda point: point[0])
    after = min((point for point in points if point[0] >= t_ns), key=lambda point: point[0])
    if after[0] == before[0]:
        return after[1]
    return before[1] + (after[1] - before[1]) * (t_ns - before[0]) / (after[0] - before[0])
