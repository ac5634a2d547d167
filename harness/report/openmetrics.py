"""A finished run in the OpenMetrics text format, with its timestamps: `promtool tsdb create-blocks-from openmetrics` takes it.

Every series carries run_id, scenario and arm. The collectors' own come under the names of `core.series`, those of the subject's
`/metrics` under their own. Requests and propagation are histograms that grow every `STEP_S`, so that rates and quantiles can be
taken over any part of the run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest

from harness.core import series
from harness.core.errors import UsageError
from harness.record.models import Verdict
from harness.record.reader import RunRecord
from harness.record.tables import labels_of

STEP_S = 5.0
_LONGEST_S = 60 * 86400.0
"""Of a record whose times are to be believed."""
BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

_COMMON = ("run_id", "scenario", "arm")


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
        self._common = {"run_id": run.run_id, "scenario": run.scenario.name, "arm": run.scenario.arm or ""}
        self._began = run.started_at.timestamp()

    def collect(self, *_: object) -> Iterator[Metric]:
        """One family after the other."""
        yield self._info()
        yield self._phases()
        yield self._results()
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
        run = self._record.run
        family = Metric("harness_run", "What ran, on what, and its verdict", "gauge")
        labels = {
            "verdict": self._verdict.verdict, "profile": run.profile or "", "provider": str(run.cluster.get("provider", "")),
            "machine": run.machine.fingerprint, "commit": run.source.commit if run.source else "",
        }  # fmt: skip
        for t_ns in _steps(0, self._end_ns):
            family.add_sample("harness_run", self._common | labels, 1, self._at(t_ns))
        return family

    def _phases(self) -> Metric:
        family = Metric("harness_phase", "1 while the phase lasts", "gauge")
        for phase in self._record.run.phases:
            labels = self._common | {"phase": phase.name, "action": phase.action}
            end = self._end_ns if phase.ended_ns is None else phase.ended_ns
            for t_ns in _steps(phase.started_ns, end):
                family.add_sample("harness_phase", labels, 1 if t_ns < end else 0, self._at(t_ns))
        return family

    def _results(self) -> Metric:
        family = Metric("harness_result", "A result of the run (docs/metrics.md), told at its end", "gauge")
        for name, result in self._verdict.results.items():
            if result.value is not None:
                labels = self._common | {"metric": name, "unit": result.unit}
                family.add_sample("harness_result", labels, result.value, self._at(self._end_ns))
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
            else:
                name = metric.replace(".", "_")
                family = Metric(name, "From the subject's own /metrics, or a histogram's buckets", "unknown")
            for labels, t_ns, value in _one_at_a_time(points):
                # the run's own labels win: a subject may have some of the same name
                family.add_sample(name, labels_of(labels) | self._common, value, self._at(t_ns))
            yield family

    def _requests(self) -> Iterator[Metric]:
        rows = self._record.sql(
            "SELECT phase, verb, kind, done_ns, intended_ns, error IS NULL FROM requests WHERE done_ns IS NOT NULL"
        )
        took = HistogramMetricFamily(
            "harness_request_duration_seconds",
            "Requests of the load, from when each was intended",
            labels=_labels("phase", "verb", "kind"),
        )
        self._fill(
            took,
            [((phase, verb, kind), done, (done - began) / 1e9) for phase, verb, kind, done, began, ok in rows if ok],
        )
        yield took
        failures = Metric(
            "harness_request_failures", "Attempts of the load that were refused or got no answer", "counter"
        )
        refused = [((phase, verb, kind), done) for phase, verb, kind, done, _, ok in rows if not ok]
        for labels, t_ns, count in _growing(refused):
            named = self._common | dict(zip(("phase", "verb", "kind"), labels, strict=True))
            failures.add_sample("harness_request_failures_total", named, count, self._at(t_ns))
        yield failures

    def _propagation(self) -> Iterator[Metric]:
        rows = self._record.sql("SELECT probe, seen_ns, intended_ns FROM propagation ORDER BY seen_ns")
        took = HistogramMetricFamily(
            "harness_propagation_seconds", "From the intended flip to its effect; what was never seen is in +Inf, at the end",
            labels=_labels("probe"),
        )  # fmt: skip
        never = self._end_ns
        self._fill(
            took,
            [
                ((probe,), never if seen is None else seen, None if seen is None else (seen - began) / 1e9)
                for probe, seen, began in rows
            ],
        )
        yield took

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
                    counts[_bucket(seconds)] += 1
                    index += 1
                family.add_metric(
                    (*self._common.values(), *labels), _cumulative(counts), total, timestamp=self._at(t_ns)
                )


def _labels(*names: str) -> tuple[str, ...]:
    return (*_COMMON, *names)


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


def _bucket(seconds: float | None) -> int:
    if seconds is None:
        return len(BUCKETS_S)
    return next((index for index, border in enumerate(BUCKETS_S) if seconds <= border), len(BUCKETS_S))


def _cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    total, found = 0, []
    for border, count in zip([*map(str, BUCKETS_S), "+Inf"], counts, strict=True):
        total += count
        found.append((border, float(total)))
    return found


def _one_at_a_time(points: Sequence[tuple[str, int, float]]) -> Iterator[tuple[str, int, float]]:
    """Of several samples of a series within a millisecond the last: Prometheus keeps one for each."""
    for here, after in zip(points, [*points[1:], None], strict=True):
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
