"""The queries behind the charts over time. Long series are reduced here, in SQL, so that millions of rows stay quick.

A series is cut into bins of time and keeps the lowest and the highest sample of each: a peak of one sample survives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from harness.record.models import Phase
from harness.record.reader import RunRecord
from harness.record.tables import labels_of
from harness.record.windows import windows

_MARKED_WINDOWS = 6  # lines of more would hide the chart
BINS = 600
"""Bins a series is cut into; it keeps at most twice as many points."""


@dataclass(slots=True)
class Series:
    """One series of the samples table over the run's time in seconds. `values` holds None where the line must break."""

    metric: str
    labels: Mapping[str, str]
    t_s: list[float] = field(default_factory=list)
    values: list[float | None] = field(default_factory=list)
    samples: int = 0

    @property
    def reduced(self) -> bool:
        """Whether fewer points are kept than samples were taken."""
        return self.samples > len(self.t_s)

    def hold(self, until_s: float) -> None:
        """Draw the last value on until then: for series of which only changes are sampled."""
        if self.t_s and self.t_s[-1] < until_s:
            self.t_s.append(until_s)
            self.values.append(self.values[-1])
            self.samples += 1

    @property
    def peak(self) -> float:
        """The highest value."""
        return max((value for value in self.values if value is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Span:
    """One phase as drawn: seconds of run time."""

    name: str
    start_s: float
    end_s: float
    phase: Phase | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment worth a vertical line."""

    t_s: float
    label: str


def end_s(record: RunRecord) -> float:
    """When the last thing known of the run happened, in seconds."""
    marks = [mark for phase in record.run.phases for mark in (phase.started_ns, phase.ended_ns or 0)]
    if record.run.ending is not None:
        marks.append(record.run.ending.t_ns)
    last = record.sql(
        "SELECT max(t) FROM (SELECT max(t_ns) t FROM samples UNION ALL SELECT max(done_ns) FROM requests "
        "UNION ALL SELECT max(seen_ns) FROM propagation)"
    )[0][0]
    return max([*marks, last or 0]) / 1e9


def sampled_until_s(record: RunRecord) -> float:
    """When the last sample was taken, in seconds: collectors were at work until then."""
    return float(record.sql("SELECT coalesce(max(t_ns), 0) FROM samples")[0][0]) / 1e9


def spans(record: RunRecord) -> list[Span]:
    """The phases in order; where run.json was cut off before it had any, as the samples tell them."""
    if record.run.phases:
        end = end_s(record)
        return [
            Span(phase.name, phase.started_ns / 1e9, end if phase.ended_ns is None else phase.ended_ns / 1e9, phase)
            for phase in record.run.phases
        ]
    rows = record.sql("SELECT phase, min(t_ns) / 1e9, max(t_ns) / 1e9 FROM samples GROUP BY phase ORDER BY 2")
    return [Span(name, float(start), float(end)) for name, start, end in rows]


def marks(record: RunRecord) -> list[Mark]:
    """Kills, restarts, how the subject ended, each once; and when a heavy profiler came and went."""
    found = [Mark(event["t_ns"] / 1e9, "OOM kill") for event in record.events("oom_kill")] or [
        Mark(t_ns / 1e9, "OOM kill")
        for (t_ns,) in record.sql(
            "SELECT t_ns FROM (SELECT t_ns, value, lag(value) OVER (ORDER BY t_ns) AS before FROM samples "
            "WHERE metric = 'oom.kills' AND source = 'oom') WHERE value > before ORDER BY t_ns"
        )
    ]
    ending = record.run.ending
    names = {"oom_limit": "OOM kill", "oom_node": "OOM kill by the node", "thrashing": "thrashing", "crash": "crash"}
    if ending is not None and ending.kind in names:
        at = ending.t_ns / 1e9
        # The counter and the watcher of the process see the same death up to a second or so apart.
        found = [mark for mark in found if abs(mark.t_s - at) > 2.0 or ending.kind != "oom_limit"]
        found.append(Mark(at, names[ending.kind]))
    found += [Mark(event["t_ns"] / 1e9, "restart") for event in record.events("restart")]
    for window in [each for each in windows(record) if each.heavy][:_MARKED_WINDOWS]:
        found.append(Mark(window.started_ns / 1e9, f"{window.tool} on"))
        if window.ended_ns is not None:
            found.append(Mark(window.ended_ns / 1e9, f"{window.tool} off"))
    return sorted(found, key=lambda mark: mark.t_s)


def series(record: RunRecord, metrics: Sequence[str], *, bins: int = BINS, break_gaps: bool = False) -> list[Series]:
    """The series of `metrics`; one of more than `2 * bins` samples is reduced to the lowest and highest of `bins` bins.

    `break_gaps` puts a None where samples are missing for far longer than usual, so that no line is drawn across the
    time in which there was no subject. Order: of `metrics`, then by labels.
    """
    if not metrics:
        return []
    rows = record.sql(
        f"""
        WITH chosen AS (
            SELECT metric, labels, t_ns, value FROM samples
            WHERE list_contains(?, metric) AND value IS NOT NULL AND isfinite(value)
        ), reach AS (SELECT min(t_ns) AS low, max(t_ns) - min(t_ns) + 1 AS width FROM chosen),
        sizes AS (SELECT metric, labels, count(*) > {2 * bins} AS long FROM chosen GROUP BY metric, labels)
        SELECT metric, labels, arg_min(t_ns, value), min(value), arg_max(t_ns, value), max(value), count(*)
        FROM chosen JOIN sizes USING (metric, labels), reach
        GROUP BY metric, labels, CASE WHEN long THEN (t_ns - low) * {bins} // width ELSE t_ns END
        ORDER BY metric, labels, min(t_ns)
        """,
        [list(metrics)],
    )
    found: dict[tuple[str, str], Series] = {}
    for metric, labels, t_low, low, t_high, high, count in rows:
        line = found.setdefault((metric, labels), Series(metric, labels_of(labels)))
        line.samples += count
        for t_ns, value in sorted({(t_low, low), (t_high, high)}):
            line.t_s.append(t_ns / 1e9)
            line.values.append(value)
    order = {metric: index for index, metric in enumerate(metrics)}
    ordered = sorted(found.values(), key=lambda line: (order[line.metric], sorted(line.labels.items())))
    if break_gaps:
        for line in ordered:
            _break_gaps(line)
    return ordered


def rates(record: RunRecord, metrics: Sequence[str], *, bins: int = BINS) -> list[Series]:
    """The rate per second of cumulative series, over bins of at least a second; a counter that fell is a break."""
    width = round(max(1.0, end_s(record) / bins) * 1e9)
    rows = record.sql(
        f"""
        WITH last AS (
            SELECT metric, labels, max(t_ns) AS t, arg_max(value, t_ns) AS v, count(*) AS n FROM samples
            WHERE list_contains(?, metric) AND isfinite(value) GROUP BY metric, labels, t_ns // {width}
        )
        SELECT metric, labels, t / 1e9, (v - lag(v) OVER one) / ((t - lag(t) OVER one) / 1e9), n
        FROM last WINDOW one AS (PARTITION BY metric, labels ORDER BY t) ORDER BY metric, labels, t
        """,
        [list(metrics)],
    )
    found: dict[tuple[str, str], Series] = {}
    for metric, labels, t_s, rate, count in rows:
        line = found.setdefault((metric, labels), Series(metric, labels_of(labels)))
        line.samples += count
        if rate is not None:
            line.t_s.append(t_s)
            line.values.append(rate if rate >= 0 else None)
    order = {metric: index for index, metric in enumerate(metrics)}
    return sorted(found.values(), key=lambda line: (order[line.metric], sorted(line.labels.items())))


def _break_gaps(line: Series) -> None:
    steps = [after - before for before, after in zip(line.t_s, line.t_s[1:], strict=False)]
    if not steps:
        return
    longest = max(1.0, 10 * median(steps))
    for index in range(len(steps) - 1, -1, -1):
        if steps[index] > longest:
            line.t_s.insert(index + 1, line.t_s[index] + steps[index] / 2)
            line.values.insert(index + 1, None)
