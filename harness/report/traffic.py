"""The queries about what went over the wire: requests of the load, propagation of changes, writes of the subject.

A row of `requests` is one attempt. Its `error` is null exactly where the request is done with it, so the status alone does
not tell: a create that is tried again may be done with a 409.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.record.reader import RunRecord
from harness.record.tables import labels_of
from harness.report.data import BINS, end_s

_POINTS = 2000  # propagation points kept per probe
_CURVE = 400  # points of a distribution curve
_FAILURES = 20  # kinds of failures that are listed
_BIN_WIDTHS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)


@dataclass(frozen=True, slots=True)
class RatePoint:
    """Attempts of one phase that were answered or given up within one bin of time, those that failed apart."""

    phase: str
    t_s: float
    per_s: float
    failed_per_s: float


@dataclass(frozen=True, slots=True)
class LatencyPoint:
    """Latency from the intended time of the successful requests of one phase intended within one bin, in seconds."""

    phase: str
    t_s: float
    p50: float
    p99: float
    count: int


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Latency from the intended time, in seconds. None: there were no such requests, or the effect never came."""

    group: tuple[str, ...]
    count: int
    missing: int
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class Propagation:
    """One cause and one object: when it was meant to happen, and how long it took (None: never)."""

    probe: str
    t_s: float
    latency_s: float | None
    cause: str
    name: str


@dataclass(frozen=True, slots=True)
class Writes:
    """Writes of the subject to one resource, by what became of them."""

    kind: str
    verb: str
    subresource: str
    total: float
    noop: float
    conflict: float


def bin_width_s(record: RunRecord) -> float:
    """Width of the bins of rates and latencies: 0.5 s, wider for runs of more than ten minutes."""
    length = end_s(record)
    return next((width for width in _BIN_WIDTHS if length / width <= 2 * BINS), _BIN_WIDTHS[-1])


def request_rates(record: RunRecord) -> list[RatePoint]:
    """Attempts per second by phase and bin of the time they ended in; empty bins within a phase are zero."""
    width = bin_width_s(record)
    rows = record.sql(
        f"""
        WITH counted AS (
            SELECT phase, done_ns // {round(width * 1e9)} AS bin, count(*) AS n,
                   count(*) FILTER (error IS NOT NULL) AS bad
            FROM requests GROUP BY ALL
        ), reach AS (SELECT phase, unnest(range(min(bin), max(bin) + 1)) AS bin FROM counted GROUP BY phase)
        SELECT phase, bin, coalesce(n, 0), coalesce(bad, 0) FROM reach LEFT JOIN counted USING (phase, bin)
        ORDER BY min(bin) OVER (PARTITION BY phase), phase, bin
        """
    )
    return [RatePoint(phase, (bin_ + 0.5) * width, n / width, bad / width) for phase, bin_, n, bad in rows]


def request_latencies(record: RunRecord) -> list[LatencyPoint]:
    """p50 and p99 by phase and bin of the intended time."""
    width = bin_width_s(record)
    rows = record.sql(
        f"""
        SELECT phase, intended_ns // {round(width * 1e9)} AS bin,
               quantile_disc((done_ns - intended_ns) / 1e9, [0.5, 0.99]), count(*)
        FROM requests WHERE error IS NULL GROUP BY phase, bin
        ORDER BY min(bin) OVER (PARTITION BY phase), phase, bin
        """
    )
    return [LatencyPoint(phase, (bin_ + 0.5) * width, q[0], q[1], count) for phase, bin_, q, count in rows]


def service_percentiles(record: RunRecord) -> dict[tuple[str, ...], tuple[float, float]]:
    """p50 and p99 of the service time, from sending to the answer, of successful requests by (phase, verb, kind), in seconds."""
    rows = record.sql(
        "SELECT phase, verb, kind, quantile_disc((done_ns - sent_ns) / 1e9, [0.5, 0.99]) FROM requests "
        "WHERE error IS NULL GROUP BY phase, verb, kind"
    )
    return {(phase, verb, kind): (float(q[0]), float(q[1])) for phase, verb, kind, q in rows}


def request_percentiles(record: RunRecord) -> list[Percentiles]:
    """By (phase, verb, kind): attempts, those that failed as `missing`, and the latency of the successful ones."""
    rows = record.sql(
        """
        SELECT phase, verb, kind, count(*), count(*) FILTER (error IS NOT NULL),
               quantile_disc((done_ns - intended_ns) / 1e9, [0.5, 0.9, 0.95, 0.99, 1.0])
                   FILTER (error IS NULL)
        FROM requests GROUP BY phase, verb, kind ORDER BY min(intended_ns)
        """
    )
    return [
        Percentiles((phase, verb, kind), count, failed, *(q or [None] * 5))
        for phase, verb, kind, count, failed, q in rows
    ]


def failed_requests(record: RunRecord) -> list[tuple[str, str, int, str, int]]:
    """The commonest failures as (phase, kind, status, error, count); status 0 means that no answer came."""
    rows = record.sql(
        "SELECT phase, kind, status, error, count(*) AS n FROM requests "
        "WHERE error IS NOT NULL GROUP BY ALL ORDER BY n DESC, phase LIMIT ?",
        [_FAILURES],
    )
    return [(str(phase), str(kind), int(status), str(error), int(n)) for phase, kind, status, error, n in rows]


def propagation_percentiles(record: RunRecord) -> list[Percentiles]:
    """By probe. An effect that never came is worse than any: a percentile that falls on one is None."""
    quantiles = ", ".join(
        f"list_extract(ordered, greatest(1, CAST(ceil({q} * n) AS BIGINT)))" for q in (0.5, 0.9, 0.95, 0.99, 1.0)
    )
    rows = record.sql(
        f"""
        SELECT probe, n, missing, {quantiles} FROM (
            SELECT probe, count(*) AS n, count(*) FILTER (seen_ns IS NULL) AS missing,
                   list((seen_ns - intended_ns) / 1e9 ORDER BY seen_ns - intended_ns NULLS LAST) AS ordered
            FROM propagation GROUP BY probe)
        ORDER BY probe
        """
    )
    return [Percentiles((probe,), n, missing, *q) for probe, n, missing, *q in rows]


def propagation_curves(record: RunRecord) -> dict[str, list[tuple[float, float]]]:
    """By probe: (latency in s, share of all effects seen by then). Missing effects keep a curve below 1."""
    rows = record.sql(
        f"""
        WITH ranked AS (
            SELECT probe, (seen_ns - intended_ns) / 1e9 AS latency, seen_ns,
                   row_number() OVER (PARTITION BY probe ORDER BY seen_ns - intended_ns NULLS LAST) AS rank,
                   count(*) OVER (PARTITION BY probe) AS n, count(seen_ns) OVER (PARTITION BY probe) AS seen
            FROM propagation
        )
        SELECT probe, latency, rank / n FROM ranked
        WHERE seen_ns IS NOT NULL AND (rank = 1 OR rank = seen OR rank % greatest(1, seen // {_CURVE}) = 0)
        ORDER BY probe, rank
        """
    )
    curves: dict[str, list[tuple[float, float]]] = {}
    for probe, latency, share in rows:
        curves.setdefault(probe, []).append((latency, share))
    return curves


def propagation_points(record: RunRecord, *, points: int = _POINTS) -> tuple[list[Propagation], bool]:
    """Propagations over time, and whether they were reduced to the fastest and slowest of each bin of time."""
    (total,) = record.sql("SELECT coalesce(max(n), 0) FROM (SELECT count(*) n FROM propagation GROUP BY probe)")[0]
    if total <= points:
        rows = record.sql(
            "SELECT probe, intended_ns / 1e9, (seen_ns - intended_ns) / 1e9, cause_id, name FROM propagation ORDER BY intended_ns"
        )
        return [Propagation(*row) for row in rows], False
    rows = record.sql(
        f"""
        WITH reach AS (SELECT min(intended_ns) AS low, max(intended_ns) - min(intended_ns) + 1 AS width FROM propagation)
        SELECT probe, arg_min(point, rank), arg_max(point, rank), count(*) FROM (
            SELECT probe, seen_ns IS NULL AS missing, (intended_ns - low) * {points // 2} // width AS bin,
                   coalesce(seen_ns - intended_ns, 0) AS rank,
                   [CAST(intended_ns AS VARCHAR), CAST(seen_ns - intended_ns AS VARCHAR), cause_id, name] AS point
            FROM propagation, reach)
        GROUP BY probe, missing, bin ORDER BY probe, missing, bin
        """
    )
    kept = []
    for probe, fastest, slowest, count in rows:
        for at, took, cause, name in [fastest] if count == 1 else [fastest, slowest]:
            latency = None if took is None else int(took) / 1e9
            kept.append(Propagation(probe, int(at) / 1e9, latency, cause, name))
    return kept, True


def writes(record: RunRecord) -> list[Writes]:
    """Writes by kind, verb and subresource, the most first."""
    rows = record.sql(
        """
        WITH last AS (
            SELECT metric, labels, arg_max(value, t_ns) AS v FROM samples
            WHERE list_contains(['writes.total', 'writes.noop', 'writes.conflict'], metric) AND source = 'audit'
              AND labels <> '{}' GROUP BY metric, labels
        )
        SELECT labels, sum(v) FILTER (metric = 'writes.total'), sum(v) FILTER (metric = 'writes.noop'),
               sum(v) FILTER (metric = 'writes.conflict')
        FROM last GROUP BY labels ORDER BY 2 DESC NULLS LAST, labels
        """
    )
    found = []
    for encoded, total, noop, conflict in rows:
        labels = labels_of(encoded)
        name = (labels.get("kind", "?"), labels.get("verb", "?"), labels.get("subresource", ""))
        found.append(Writes(*name, total or 0.0, noop or 0.0, conflict or 0.0))
    return found
