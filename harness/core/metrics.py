"""The metric catalogue: name, unit, meaning, direction, source and runtime of every result of a run.

Scenario validation, verdicts, reports, docs/metrics.md, the exporter and the dashboards all read this one table.
A name may hold one placeholder in capitals: KIND (an alias from `core.kinds`), PROBE (named by the scenario) or VERB.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from harness.core import kinds
from harness.core.units import Dimension

Direction = Literal["lower", "higher", "none"]
Runtime = Literal["any", "python", "go"]

QUANTILES: dict[str, float] = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
"""Of the latencies of a probe, by the last part of the metric's name."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One kind of result. `source` is the collector that witnesses it."""

    name: str
    dimension: Dimension
    meaning: str
    direction: Direction
    source: str
    runtime: Runtime = "any"

    @property
    def unit(self) -> str:
        """The unit as records name it: `B`, `s`, `1/s`, `ratio` or `count`."""
        return {"bytes": "B", "seconds": "s", "per_second": "1/s", "ratio": "ratio", "count": "count"}[self.dimension]


def _both(prefix: str, dimension: Dimension, meaning: str, source: str) -> tuple[Metric, ...]:
    return (
        Metric(f"{prefix}.peak", dimension, f"{meaning}, highest sample", "lower", source),
        Metric(f"{prefix}.settled", dimension, f"{meaning}, mean of the last 2 s once settled", "lower", source),
    )


def _quantiles(prefix: str, names: Iterable[str], meaning: str, source: str) -> tuple[Metric, ...]:
    return tuple(Metric(f"{prefix}.{q}", "seconds", f"{meaning}, {q}", "lower", source) for q in names)


CATALOGUE: tuple[Metric, ...] = (
    *_both("memory.rss", "bytes", "resident set of the subject's processes", "memory"),
    *_both("memory.anon", "bytes", "anonymous memory of the subject's processes", "memory"),
    *_both("memory.cgroup", "bytes", "memory charged to the subject's cgroup", "memory"),
    *_both("memory.working_set", "bytes", "memory of the subject's container that its kubelet cannot reclaim", "memory"),
    Metric("memory.cgroup.idle", "bytes", "memory charged to the cgroup before the load began", "lower", "memory"),
    Metric("memory.rss.idle", "bytes", "resident set before the load began", "lower", "memory"),
    Metric(
        "memory.headroom.idle", "bytes", "memory limit minus the cgroup's charge before the load, page cache left out",
        "higher", "memory",
    ),
    Metric("memory.heap.settled", "bytes", "live heap after a forced collection (Python: pymalloc and malloc in use; "
           "Go: HeapAlloc)", "lower", "tasks"),
    Metric("memory.heap.idle", "bytes", "live heap after a forced collection, before the load", "lower", "tasks"),
    Metric("memory.per_object.KIND", "bytes", "settled minus idle resident set per object of KIND; only where the run "
           "loads one kind", "lower", "memory"),
    Metric("oom.kills", "count", "kills by the kernel because the subject reached its memory limit", "lower", "oom"),
    Metric("oom.thrash_seconds", "seconds", "time at the memory limit without a kill and without progress", "lower", "oom"),
    Metric("restarts", "count", "times the subject was started again", "lower", "oom"),
    Metric("tasks.peak", "count", "asyncio tasks (Python) or goroutines (Go), highest sample", "lower", "tasks"),
    Metric("tasks.settled", "count", "asyncio tasks or goroutines once settled, median of the last 2 s", "lower", "tasks"),
    Metric("tasks.idle", "count", "tasks before the load began, median of 2 s", "lower", "tasks"),
    Metric("tasks.stayed", "count", "tasks, greenlets or goroutines once settled that were not there before the load, by name",
           "lower", "tasks"),
    Metric("threads.peak", "count", "threads of the subject's processes, highest sample", "lower", "memory"),
    Metric("fds.peak", "count", "open file descriptors of the subject's processes, highest sample", "lower", "memory"),
    Metric("loop.lag.p99", "seconds", "delay of the asyncio event loop, p99", "lower", "tasks", "python"),
    Metric("cpu.total", "seconds", "CPU time of the subject from load start to settled", "lower", "memory"),
    Metric("cpu.throttled", "seconds", "time in which the CPU limit held the subject's processes back, summed over CPUs",
           "lower", "memory"),
    *_quantiles("latency.PROBE", QUANTILES, "from the intended time of a cause to its effect on each "
                "object it concerns", "latency"),
    Metric("completeness.KIND", "ratio", "objects of KIND seen over objects that must exist", "higher", "latency"),
    Metric("startup.first_object", "seconds", "from start to the subject's first read of a scenario kind", "lower", "audit"),
    Metric("startup.first_object.KIND", "seconds", "from start to the subject's first read of KIND; only where the scenario "
           "asks for it", "lower", "audit"),
    Metric("startup.synced", "seconds", "from start to ready", "lower", "subject"),
    Metric("startup.restart", "seconds", "from the start of a restarted subject to ready, the slowest restart", "lower",
           "subject"),
    Metric("failover.lease", "seconds", "from the signal that ends the leader to the other replica holding the Lease, the "
           "slowest failover", "lower", "subject"),
    Metric("failover.first_reconcile", "seconds", "from the signal that ends the leader to the first reconcile of the other "
           "replica, the slowest failover", "lower", "subject"),
    *_quantiles("api.VERB.KIND", ("p50", "p99"), "the load's requests, from intended time to answer", "load"),
    Metric("load.requests", "count", "requests the load sent", "none", "load"),
    Metric("load.failures", "count", "requests of the load that failed", "lower", "load"),
    Metric("load.achieved_per_s", "per_second", "achieved rate of the slowest-relative phase at a fixed rate, else of the "
           "largest phase", "higher", "load"),
    Metric("load.sustained_per_s", "per_second", "highest rate that a step_until_failure kept (95 % of it achieved, at most 1 % "
           "failed); of several the lowest", "higher", "load"),
    Metric("agents.answers", "count", "statuses of BundleDeployments that the fake agents wrote, one for each that it deploys",
           "none", "load"),
    Metric("agents.late.p99", "seconds", "from when an answer of the fake agents was due to when it was sent, p99", "lower",
           "load"),
    Metric("load.retries", "count", "attempts of the load beyond the first of each request", "lower", "load"),
    *_quantiles("load.slip", ("p50", "p99"), "from the intended time of a request at a fixed rate to its being sent", "load"),
    Metric("load.cpu.share", "ratio", "CPU of the load generator, a single thread, in cores; the busiest load phase of a "
           "second or more", "lower", "load"),
    Metric("load.loop_lag.max", "seconds", "delay of the load generator's event loop while it sent, highest", "lower", "load"),
    Metric("apiserver.cpu", "seconds", "CPU time of the API server from load start to settled", "lower", "apiserver"),
    Metric("apiserver.rss.peak", "bytes", "resident set of the API server, highest sample", "lower", "apiserver"),
    Metric("apiserver.inflight.max", "count", "requests in flight in the API server, reading and writing, highest sample",
           "lower", "apiserver"),
    Metric("apiserver.rejected", "count", "requests of all clients that the API server answered with 429: too many at once",
           "lower", "apiserver"),
    Metric("apiserver.request.VERB.p99", "seconds", "requests of all clients as the API server timed them during the load, "
           "p99 (upper border of its histogram's bucket)", "lower", "apiserver"),
    Metric("writes.total", "count", "writes of the subject, by the API server's audit log", "lower", "audit"),
    Metric("writes.noop", "count", "writes of the subject that changed nothing (same resourceVersion)", "lower", "audit"),
    Metric("writes.conflict", "count", "writes of the subject refused with 409", "lower", "audit"),
    Metric("conflicts.per_reconcile", "ratio", "writes of the subject refused with 409 over the reconciles it counted", "lower",
           "audit"),
    Metric("reconciles.total", "count", "reconciles the subject counted", "none", "metrics"),
    Metric("queue.depth.max", "count", "work items waiting over all queues, highest sample", "lower", "metrics"),
    Metric("metrics.series", "count", "series on the subject's /metrics, last scrape", "lower", "metrics"),
    Metric("host.steal", "ratio", "share of the machine's CPU time that its host gave to others, from load start to settled",
           "lower", "host"),
    Metric("host.pressure.cpu", "ratio", "share of the time from load start to settled in which some task waited for a CPU",
           "lower", "host"),
    Metric("host.cpu.others", "ratio", "share of the machine's CPU time used by what is no part of the run, from load start "
           "to settled", "lower", "host"),
    Metric("overhead.loop_lag.max", "seconds", "delay of the harness's own event loop from load start to settled, highest",
           "lower", "host"),
    Metric("overhead.cpu", "seconds", "CPU time of the harness and its agent during the run, without the load generator",
           "lower", "host"),
    Metric("overhead.rss", "bytes", "peak resident set of the harness, without the load generator", "lower", "host"),
    Metric("overhead.rss.growth", "bytes", "resident set of the harness, median of the load's last quarter less that of its "
           "second quarter", "lower", "host"),
    Metric("overhead.threads.growth", "count", "threads of the harness's process, likewise", "lower", "host"),
    Metric("overhead.fds.growth", "count", "open file descriptors of the harness's process, likewise", "lower", "host"),
)  # fmt: skip

VERBS = ("create", "patch", "update", "delete", "get", "list", "watch")


@dataclass(frozen=True, slots=True)
class MetricName:
    """A concrete metric name and what its placeholders stand for."""

    name: str
    metric: Metric
    kind: str | None = None
    probe: str | None = None
    verb: str | None = None


KIND = "[A-Z][A-Za-z0-9.-]*"
"""What can stand for KIND in a name, as a regular expression."""


def _pattern(metric: Metric) -> re.Pattern[str]:
    text = re.escape(metric.name).replace("KIND", f"(?P<kind>{KIND})")
    text = text.replace("PROBE", r"(?P<probe>[a-z][a-z0-9_-]*)").replace("VERB", "(?P<verb>" + "|".join(VERBS) + ")")
    return re.compile(text)


_PATTERNS = [(metric, _pattern(metric)) for metric in CATALOGUE]


def resolve(name: str, *, probes: Iterable[str] | None = None) -> MetricName:
    """What a concrete name such as `latency.flip.p99` means.

    `probes`, where given, are the probe names the scenario defines. Raises ValueError with a near-miss suggestion for
    an unknown metric, kind or probe.
    """
    for metric, pattern in _PATTERNS:
        match = pattern.fullmatch(name)
        if match is None:
            continue
        groups = match.groupdict()
        kind = kinds.alias_in_name(groups["kind"]) if groups.get("kind") else None
        probe = groups.get("probe")
        if probe is not None and probes is not None and probe not in (known := sorted(probes)):
            near = difflib.get_close_matches(probe, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"probes of this scenario: {', '.join(known) or 'none'}"
            raise ValueError(f"no probe {probe!r} for metric {name!r}; {hint}")
        return MetricName(name, metric, kind, probe, groups.get("verb"))
    near = difflib.get_close_matches(name, [metric.name for metric in CATALOGUE], n=2, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "docs/metrics.md lists them all"
    raise ValueError(f"unknown metric {name!r}; {hint}")


def page() -> str:
    """docs/metrics.md: the catalogue as a table for people."""
    lines = [
        "# Metrics",
        "",
        "Every result of a run, from the one catalogue in `harness/core/metrics.py` (this page is written by `make docs`).",
        "A result that a provider or runtime cannot witness is null with a reason, never 0. Quantiles are nearest-rank; an",
        'effect that never came counts as worse than any. "Better" says which direction is an improvement.',
        "",
        "| name | unit | better | source | runtime | meaning |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{metric.name}` | {metric.unit} | {metric.direction if metric.direction != 'none' else '-'} | {metric.source} "
        f"| {metric.runtime} | {metric.meaning} |"
        for metric in CATALOGUE
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
