"""What is known of a run while it goes on, for whoever asks now: the newest of every series, histograms, where the run stands.

Facts come from the run's event loop, questions from the exporter's threads: a lock lies between them, held for as long as a
copy of a dictionary takes. The number of series is bounded, whatever labels a subject makes up.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from harness.core import series
from harness.core.clock import RunClock
from harness.core.sinks import PropagationRow, RequestRow
from harness.record.models import LOAD_ACTIONS, Phase, Run, Verdict
from harness.report import families
from harness.report.families import BUCKETS_S, Family, bucket, cumulative

MOST_SERIES = 100
"""Label sets of one family: tasks by name of coroutine could be any number."""
MOST_HISTOGRAMS = 40
"""Label sets of one histogram, of 17 series and more each; what is beyond counts under `phase="other"`."""
MOST_PHASES = 30
"""Newest phases that are shown; a run of many cycles has hundreds."""
OTHER = "other"

_Labels = tuple[tuple[str, str], ...]


class _Histogram:
    """Counts by bucket of one label set."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.total = 0.0

    def add(self, seconds: float | None) -> None:
        self.counts[bucket(seconds)] += 1
        self.total += seconds or 0.0


class LiveRun:
    """One run; a `Sink` that keeps the newest."""

    def __init__(self, facts: Run, clock: RunClock) -> None:
        self.facts = facts
        self.verdict: Verdict | None = None
        self._clock = clock
        self._common = families.common(facts)
        self._lock = threading.Lock()
        self._latest: dict[str, dict[_Labels, float]] = {}
        self._dropped: set[tuple[str, _Labels]] = set()
        self._durations: dict[tuple[str, ...], _Histogram] = {}
        self._failures: Counter[tuple[str, ...]] = Counter()
        self._propagations: dict[tuple[str, ...], _Histogram] = {}
        self._done: Counter[str] = Counter()
        self._pending: int | None = None
        self._idle_tasks: float | None = None

    # -- Sink ----------------------------------------------------------------------------------------------------------

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None:
        """The newest of a series of the catalogue. What the subject says on its own /metrics Prometheus asks it for."""
        del source, t_ns
        if metric not in series.BY_NAME or not math.isfinite(value):
            return
        key: _Labels = tuple(sorted(labels.items())) if labels else ()
        with self._lock:
            known = self._latest.setdefault(metric, {})
            if key in known or len(known) < MOST_SERIES:
                known[key] = value
            elif len(self._dropped) < MOST_SERIES * MOST_SERIES:
                self._dropped.add((metric, key))
            if metric == "tasks" and not key and self._resting():
                self._idle_tasks = max(value, self._idle_tasks or 0.0)

    def _resting(self) -> bool:
        """Whether the phase before the load lasts. It takes two seconds, so that a scrape may well miss it."""
        return (
            bool(self.facts.phases)
            and self.facts.phases[-1].action == "idle"
            and self.facts.phases[-1].ended_ns is None
        )

    def requests(self, rows: Sequence[RequestRow]) -> None:
        """See `Sink.requests`."""
        with self._lock:
            for row in rows:
                labels = (row.phase, row.verb, row.kind)
                if row.error is not None:
                    room = labels in self._failures or len(self._failures) < MOST_HISTOGRAMS
                    self._failures[labels if room else (OTHER, row.verb, OTHER)] += 1
                    continue
                self._done[row.phase] += 1
                _of(self._durations, labels, (OTHER, row.verb, OTHER)).add((row.done_ns - row.intended_ns) / 1e9)

    def propagation(self, rows: Sequence[PropagationRow]) -> None:
        """See `Sink.propagation`."""
        with self._lock:
            for row in rows:
                seconds = None if row.seen_ns is None else (row.seen_ns - row.intended_ns) / 1e9
                _of(self._propagations, (row.probe,), (OTHER,)).add(seconds)

    def event(self, type_: str, /, **fields: object) -> None:
        """Events are no series."""

    def waiting(self, effects: int | None) -> None:
        """So many effects are still awaited; None: nobody counts."""
        self._pending = effects

    # -- questions -----------------------------------------------------------------------------------------------------

    def outcome(self) -> Iterator[Metric]:
        """What stays of a run that is over, while the next one goes on."""
        yield self._gauge(families.RUN, [(tuple(self._about().values()), 1)])
        if self.verdict is not None:
            yield self._results(self.verdict)

    def collect(self) -> Iterator[Metric]:
        """All families as they stand."""
        yield from self.outcome()
        yield from self._phases(list(self.facts.phases))
        yield from self._plan()
        with self._lock:
            latest = {metric: dict(known) for metric, known in self._latest.items()}
            durations = {labels: (list(each.counts), each.total) for labels, each in self._durations.items()}
            seen = {labels: (list(each.counts), each.total) for labels, each in self._propagations.items()}
            failures, dropped = dict(self._failures), len(self._dropped)
        yield from (self._sampled(metric, known) for metric, known in latest.items())
        yield self._completeness(latest.get("objects.matched", {}))
        yield self._histogram(families.REQUEST_DURATION, durations)
        yield self._histogram(families.PROPAGATION, seen)
        refused = families.REQUEST_FAILURES
        family = CounterMetricFamily(refused.name, refused.meaning, labels=(*self._common, *refused.labels))
        for labels, count in failures.items():
            family.add_metric((*self._common.values(), *labels), count)
        yield family
        if self._pending is not None:
            yield self._gauge(families.PENDING, [((), self._pending)])
        if self._idle_tasks is not None:
            yield self._gauge(families.TASKS_IDLE, [((), self._idle_tasks)])
        yield self._gauge(families.DROPPED, [((), dropped)])

    def _about(self) -> dict[str, str]:
        return families.about(self.facts, "running" if self.verdict is None else self.verdict.verdict)

    def _results(self, verdict: Verdict) -> Metric:
        known = [((name, each.unit), each.value) for name, each in verdict.results.items() if each.value is not None]
        return self._gauge(families.RESULT, known)

    def _phases(self, phases: Sequence[Phase]) -> Iterator[Metric]:
        newest = phases[-MOST_PHASES:]
        yield self._gauge(families.PHASE, [((each.name, each.action), each.ended_ns is None) for each in newest])
        under_way = [each for each in newest if each.ended_ns is None and each.action in LOAD_ACTIONS]
        wanted = [((each.name,), each.requested_per_s) for each in under_way if each.requested_per_s is not None]
        yield self._gauge(families.REQUESTED_RATE, wanted)
        now = self._clock.now_ns()
        achieved = [((each.name,), self._done[each.name] * 1e9 / max(now - each.started_ns, 1)) for each in under_way]
        yield self._gauge(families.ACHIEVED_RATE, achieved)

    def _plan(self) -> Iterator[Metric]:
        run = self.facts
        known = list(families.parameters(run).items())[:MOST_SERIES]
        yield self._gauge(families.PARAMETER, [((name,), value) for name, value in known])
        bounds = list(families.objectives(run))[:MOST_SERIES]
        yield self._gauge(families.OBJECTIVE, [((probe, quantile), value) for probe, quantile, value in bounds])
        yield self._gauge(families.EXPECTED, [((kind,), count) for kind, count in families.expected(run).items()])

    def _completeness(self, matched: Mapping[_Labels, float]) -> Metric:
        expected = families.expected(self.facts)
        kinds = {dict(labels).get("kind", ""): value for labels, value in matched.items()}
        known = [((kind,), value / expected[kind]) for kind, value in kinds.items() if expected[kind]]
        return self._gauge(families.COMPLETENESS, known)

    def _gauge(self, kind: Family, values: Sequence[tuple[tuple[str, ...], float]]) -> Metric:
        family = GaugeMetricFamily(kind.name, kind.meaning, labels=(*self._common, *kind.labels))
        for labels, value in values:
            family.add_metric((*self._common.values(), *labels), value)
        return family

    def _sampled(self, metric: str, known: Mapping[_Labels, float]) -> Metric:
        entry = series.BY_NAME[metric]
        family = Metric(entry.family, entry.meaning, entry.type)
        name = f"{entry.family}_total" if entry.type == "counter" else entry.family
        for labels, value in known.items():
            family.add_sample(name, dict(labels) | self._common, value)
        return family

    def _histogram(self, kind: Family, known: Mapping[tuple[str, ...], tuple[list[int], float]]) -> Metric:
        family = HistogramMetricFamily(kind.name, kind.meaning, labels=(*self._common, *kind.labels))
        for labels, (counts, total) in known.items():
            family.add_metric((*self._common.values(), *labels), cumulative(counts), total)
        return family


def _of(known: dict[tuple[str, ...], _Histogram], labels: tuple[str, ...], other: tuple[str, ...]) -> _Histogram:
    """The histogram of these labels, or, where there are too many, the one of the rest."""
    if labels not in known and len(known) >= MOST_HISTOGRAMS:
        labels = other
    return known.setdefault(labels, _Histogram())
