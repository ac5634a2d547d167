"""A finished run in the OpenMetrics text format, with its timestamps: `promtool tsdb create-blocks-from openmetrics` takes it.

Every series carries run_id, scenario and arm. The collectors' own come under the names of `core.series`, those of the subject's
`/metrics` under their own. Requests and propagation are histograms that grow every `STEP_S`, so that rates and quantiles can be
taken over any part of the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest

from harness.core import series
from harness.core.errors import UsageError
from harness.record.models import Phase, Verdict
from harness.record.reader import RunRecord
from harness.record.tables import labels_of
from harness.report import families, openmetrics_sites
from harness.report.families import BUCKETS_S, Family, bucket, cumulative
from harness.report.openmetrics_sites import SITES

STEP_S = 5.0
_LONGEST_S = 60 * 86400.0
"""Of a record whose times are to be believed."""
INSTANCE = "export"
"""Value of the label `instance`, where a scraped run has the address that was asked."""
_DURATIONS = "apiserver.duration"


def render(record: RunRecord, verdict: Verdict) -> str:
    """The whole run as text, ending in `# EOF`. Raises UsageError where a table of the record cannot be read."""
    text: bytes = generate_latest(_Families(record, verdict))  # type: ignore[no-untyped-call] # asks for `collect` only
    return text.decode()


class _Families:
    """What prometheus_client asks for metrics."""

    def __init__(self, record: RunRecord, verdict: Verdict) -> None:
        run = record.run
        self._record = record
        self._verdict = verdict
        self._common = {"job": families.JOB, "instance": INSTANCE} | families.common(run)
        self._began = run.started_at.timestamp()

    def collect(self, *_: object) -> Iterator[Metric]:
        """One family after the other."""
        yield self._info()
        yield self._phases()
        yield self._results()
        yield from self._plan()
        yield from self._rates()
        yield self._sites()
        yield self._completeness()
        yield from self._samples()
        yield from self._requests()
        yield from self._propagation()

    def _at(self, t_ns: float) -> float:
        return round(self._began + t_ns / 1e9, 3)

    @property
    def _end_ns(self) -> int:
        ends = [phase.ended_ns or phase.started_ns for phase in self._record.run.phases]
        return max(ends, default=0)

    def _info(self) -> Metric:
        family = _metric(families.RUN)
        labels = self._common | families.about(self._record.run, self._verdict.verdict)
        for t_ns in _steps(0, self._end_ns):
            family.add_sample(family.name, labels, 1, self._at(t_ns))
        return family

    def _phases(self) -> Metric:
        family = _metric(families.PHASE)
        for phase in self._record.run.phases:
            labels = self._common | {"phase": phase.name, "action": phase.action}
            end = self._end_of(phase)
            for t_ns in _steps(phase.started_ns, end):
                family.add_sample(family.name, labels, 1 if t_ns < end else 0, self._at(t_ns))
        return family

    def _end_of(self, phase: Phase) -> int:
        return self._end_ns if phase.ended_ns is None else phase.ended_ns

    def _results(self) -> Metric:
        family = _metric(families.RESULT)
        for name, result in self._verdict.results.items():
            if result.value is not None:
                labels = self._common | {"metric": name, "unit": result.unit}
                family.add_sample(family.name, labels, result.value, self._at(self._end_ns))
        return family

    def _plan(self) -> Iterator[Metric]:
        """What was known beforehand: parameters, objectives, what must exist."""
        run = self._record.run
        yield self._constant(families.PARAMETER, [((name,), value) for name, value in families.parameters(run).items()])
        yield self._constant(families.OBJECTIVE, [((probe, q), value) for probe, q, value in families.objectives(run)])
        yield self._constant(families.EXPECTED, [((kind,), count) for kind, count in families.expected(run).items()])
        yield self._constant(families.TASKS_IDLE, [((), most) for (most,) in self._idle_tasks() if most is not None])

    def _idle_tasks(self) -> list[tuple[float | None]]:
        return self._record.sql(
            "SELECT max(value) FROM samples WHERE metric = 'tasks' AND phase = 'idle' AND labels = '{}' AND isfinite(value)"
        )

    def _sites(self) -> Metric:
        family = _metric(SITES)
        for labels, size in openmetrics_sites.of(self._record).items():
            named = self._common | dict(zip(SITES.labels, labels, strict=True))
            family.add_sample(family.name, named, size, self._at(self._end_ns))
        return family

    def _constant(self, kind: Family, values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
        family = _metric(kind)
        for labels, value in values:
            named = self._common | dict(zip(kind.labels, labels, strict=True))
            for t_ns in _steps(0, self._end_ns):
                family.add_sample(kind.name, named, value, self._at(t_ns))
        return family

    def _rates(self) -> Iterator[Metric]:
        """Of load phases, while they last: what was asked for, and what was achieved over the whole of each."""
        for kind, name in ((families.REQUESTED_RATE, "requested_per_s"), (families.ACHIEVED_RATE, "achieved_per_s")):
            family = _metric(kind)
            for phase in self._record.run.phases:
                value = getattr(phase, name)
                for t_ns in _steps(phase.started_ns, self._end_of(phase)) if value is not None else ():
                    family.add_sample(kind.name, self._common | {"phase": phase.name}, value, self._at(t_ns))
            yield family

    def _completeness(self) -> Metric:
        family = _metric(families.COMPLETENESS)
        counts = families.expected(self._record.run)
        rows = self._record.sql(
            "SELECT labels, t_ns, value FROM samples WHERE metric = 'objects.matched' ORDER BY labels, t_ns"
        )
        for labels, t_ns, value in _one_at_a_time(rows):
            kind = labels_of(labels).get("kind", "")
            if counts.get(kind):
                family.add_sample(family.name, self._common | {"kind": kind}, value / counts[kind], self._at(t_ns))
        return family

    def _samples(self) -> Iterator[Metric]:
        rows = self._record.sql(
            "SELECT metric, labels, t_ns, value FROM samples WHERE isfinite(value) ORDER BY metric, labels, t_ns"
        )
        found: dict[str, list[tuple[str, int, float]]] = defaultdict(list)
        for metric, labels, t_ns, value in rows:
            found[metric].append((labels, t_ns, value))
        for metric, points in found.items():
            known = series.BY_NAME.get(metric)
            if known is not None:
                family = Metric(known.family, known.meaning, known.type)
                name = f"{known.family}_total" if known.type == "counter" else known.family
                points = list(_held(points, self._end_ns)) if known.type == "counter" else points
            else:
                name = metric.replace(".", "_")
                family = Metric(name, "From the subject's own /metrics, or a histogram's buckets", "unknown")
            job = {} if known is not None or metric == _DURATIONS else {"job": families.SUBJECT_JOB}
            for labels, t_ns, value in _one_at_a_time(points):
                # the run's own labels win: a subject may have some of the same name
                family.add_sample(name, labels_of(labels) | self._common | job, value, self._at(t_ns))
            yield family

    def _requests(self) -> Iterator[Metric]:
        rows = self._record.sql(
            "SELECT phase, verb, kind, done_ns, intended_ns, error IS NULL FROM requests WHERE done_ns IS NOT NULL"
        )
        took = self._histogram(families.REQUEST_DURATION)
        self._fill(
            took,
            [((phase, verb, kind), done, (done - began) / 1e9) for phase, verb, kind, done, began, ok in rows if ok],
        )
        yield took
        failures = _metric(families.REQUEST_FAILURES)
        refused = [((phase, verb, kind), done) for phase, verb, kind, done, _, ok in rows if not ok]
        for labels, t_ns, count in _growing(refused):
            named = self._common | dict(zip(families.REQUEST_FAILURES.labels, labels, strict=True))
            failures.add_sample(f"{failures.name}_total", named, count, self._at(t_ns))
        yield failures

    def _propagation(self) -> Iterator[Metric]:
        rows = self._record.sql("SELECT probe, seen_ns, intended_ns FROM propagation ORDER BY seen_ns")
        took = self._histogram(families.PROPAGATION)
        never = self._end_ns
        self._fill(
            took,
            [
                ((probe,), never if seen is None else seen, None if seen is None else (seen - began) / 1e9)
                for probe, seen, began in rows
            ],
        )
        yield took

    def _histogram(self, kind: Family) -> HistogramMetricFamily:
        return HistogramMetricFamily(kind.name, kind.meaning, labels=(*self._common, *kind.labels))

    def _fill(self, family: Any, done: Iterable[tuple[tuple[str, ...], int, float | None]]) -> None:  # noqa: ANN401 # untyped
        by_labels: dict[tuple[str, ...], list[tuple[int, float | None]]] = defaultdict(list)
        for labels, t_ns, seconds in done:
            by_labels[labels].append((t_ns, seconds))
        for labels, points in by_labels.items():
            points.sort(key=lambda point: point[0])
            counts, total, index = [0] * (len(BUCKETS_S) + 1), 0.0, 0
            for t_ns in _steps(points[0][0], points[-1][0]):
                while index < len(points) and points[index][0] <= t_ns:
                    seconds = points[index][1]
                    total += seconds or 0.0
                    counts[bucket(seconds)] += 1
                    index += 1
                family.add_metric(
                    (*self._common.values(), *labels), cumulative(counts), total, timestamp=self._at(t_ns)
                )


def _metric(kind: Family) -> Metric:
    return Metric(kind.name, kind.meaning, kind.type)


def _steps(start_ns: int, end_ns: int) -> Iterator[int]:
    """Times of a series from start to end, `STEP_S` apart, both ends included."""
    step = int(STEP_S * 1e9)
    if end_ns - start_ns > _LONGEST_S * 1e9:
        days = _LONGEST_S / 86400
        raise UsageError(
            f"its times span more than {days:.0f} days", remedy="is the record damaged? harness show tells"
        )
    yield from range(start_ns, end_ns, step)
    yield end_ns


def _held(points: Sequence[tuple[str, int, float]], end_ns: int) -> Iterator[tuple[str, int, float]]:
    """The points of counters, and between them, `STEP_S` apart, the value that holds until the next: some are sampled only when
    they change, and a rate needs two points within its interval.
    """
    step = int(STEP_S * 1e9)
    for (labels, t_ns, value), after in zip_longest(points, points[1:]):
        yield labels, t_ns, value
        until = after[1] if after is not None and after[0] == labels else end_ns
        yield from ((labels, at, value) for at in range(t_ns + step, until, step))


def _one_at_a_time(points: Sequence[tuple[str, int, float]]) -> Iterator[tuple[str, int, float]]:
    """Of several samples of a series within a millisecond the last: Prometheus keeps one for each."""
    for here, after in zip_longest(points, points[1:]):
        if after is None or after[0] != here[0] or after[1] // 1_000_000 != here[1] // 1_000_000:
            yield here


def _growing(moments: Iterable[tuple[tuple[str, ...], int]]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """How many there were by then, for each labels and moment, labels together."""
    by_labels: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for labels, t_ns in moments:
        by_labels[labels].append(t_ns)
    for labels, times in by_labels.items():
        for count, t_ns in enumerate(sorted(times), 1):
            yield labels, t_ns, count
