"""The metric families that the harness writes for Prometheus beside those of `core.series`: one list for the live exporter and
for `harness export`, so that the same dashboards serve both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from harness.core import metrics
from harness.core.units import parse
from harness.record.models import Run
from harness.scenario.expectation import parse_expectation

COMMON = ("run_id", "scenario", "arm")
"""Labels of every series."""
JOB, SUBJECT_JOB = "harness", "subject"
"""Values of the label `job`: what the harness says itself, and what the subject said on its own /metrics."""

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


class Family(NamedTuple):
    """A name (of a counter without `_total`), what it means, and the labels beside the common ones."""

    name: str
    meaning: str
    type: str = "gauge"
    labels: tuple[str, ...] = ()


RUN = Family("harness_run", "What runs or ran, on what, and its verdict (`running` until there is one)", "gauge",
             ("verdict", "profile", "provider", "machine", "commit"))  # fmt: skip
PHASE = Family("harness_phase", "1 while the phase lasts", "gauge", ("phase", "action"))
RESULT = Family("harness_result", "A result of the run (docs/metrics.md), told at its end", "gauge", ("metric", "unit"))
PARAMETER = Family("harness_parameter", "A parameter of the scenario that is a number", "gauge", ("parameter",))
OBJECTIVE = Family("harness_propagation_objective_seconds", "What the scenario expects a quantile of a propagation to stay below",
                   "gauge", ("probe", "quantile"))  # fmt: skip
EXPECTED = Family("harness_objects_expected", "Objects that must exist because of the load", "gauge", ("kind",))
COMPLETENESS = Family(
    "harness_completeness_ratio", "Expected objects seen over objects that must exist", "gauge", ("kind",)
)
REQUESTED_RATE = Family("harness_load_requested_per_second", "Rate at which the phase was to send; none where it is `max`",
                        "gauge", ("phase",))  # fmt: skip
ACHIEVED_RATE = Family("harness_load_achieved_per_second", "Rate at which requests of the phase succeeded so far", "gauge",
                       ("phase",))  # fmt: skip
REQUEST_DURATION = Family("harness_request_duration_seconds", "Requests of the load, from when each was intended", "histogram",
                          ("phase", "verb", "kind"))  # fmt: skip
REQUEST_FAILURES = Family("harness_request_failures", "Attempts of the load that were refused or got no answer", "counter",
                          ("phase", "verb", "kind"))  # fmt: skip
PROPAGATION = Family("harness_propagation_seconds",
                     "From the intended flip to its effect; what was never seen is in +Inf, at the end", "histogram",
                     ("probe",))  # fmt: skip
PENDING = Family("harness_propagation_pending", "Effects of requests that were sent which have not been seen yet")
TASKS_IDLE = Family(
    "harness_tasks_idle", "Most tasks of the whole subject while nothing was asked of it, before the load"
)
DROPPED = Family("harness_exporter_series_dropped", "Series left out because a family has too many")

OWN = (RUN, PHASE, RESULT, PARAMETER, OBJECTIVE, EXPECTED, COMPLETENESS, REQUESTED_RATE, ACHIEVED_RATE, REQUEST_DURATION,
       REQUEST_FAILURES, PROPAGATION, PENDING, TASKS_IDLE, DROPPED)  # fmt: skip


def common(run: Run) -> dict[str, str]:
    """The labels that every series of a run has."""
    return {"run_id": run.run_id, "scenario": run.scenario.name, "arm": run.scenario.arm or ""}


def about(run: Run, verdict: str) -> dict[str, str]:
    """The labels of `harness_run`."""
    return {
        "verdict": verdict, "profile": run.profile or "", "provider": str(run.cluster.get("provider", "")),
        "machine": run.machine.fingerprint, "commit": run.source.commit if run.source else "",
    }  # fmt: skip


def expected(run: Run) -> Counter[str]:
    """How many objects of each kind must exist because of the load."""
    counts: Counter[str] = Counter()
    for item in run.expected:
        counts[item.kind] += item.count
    return counts


def parameters(run: Run) -> dict[str, float]:
    """The parameters of the scenario that are numbers, or quantities with a unit, in base units."""
    found: dict[str, float] = {}
    for name, value in (run.scenario.resolved.get("params") or {}).items():
        number = _number(value)
        if number is not None:
            found[name] = number
    return found


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int | float):
        return float(value)
    for dimension in ("count", "bytes", "seconds", "per_second"):
        try:
            return parse(value, dimension)
        except ValueError:
            continue
    return None


def objectives(run: Run) -> Iterator[tuple[str, str, float]]:
    """Probe, quantile as Prometheus writes it, and seconds, of each upper bound on a propagation that the scenario expects."""
    for text in run.scenario.resolved.get("expect") or ():
        try:
            bound = parse_expectation(str(text))
        except ValueError:  # of another version of the harness
            continue
        probe, quantile = metrics.resolve(bound.metric).probe, _QUANTILES.get(bound.metric.rpartition(".")[2])
        if bound.op.startswith("<") and probe is not None and quantile is not None:
            yield probe, quantile, bound.value


def bucket(seconds: float | None) -> int:
    """Which bucket a duration counts in; None, which is never, in the last."""
    if seconds is None:
        return len(BUCKETS_S)
    return next((index for index, border in enumerate(BUCKETS_S) if seconds <= border), len(BUCKETS_S))


def cumulative(counts: Sequence[int]) -> list[tuple[str, float]]:
    """Counts by bucket as Prometheus wants them: border, and how many are not above it."""
    total, found = 0, []
    for border, count in zip([*map(str, BUCKETS_S), "+Inf"], counts, strict=True):
        total += count
        found.append((border, float(total)))
    return found
