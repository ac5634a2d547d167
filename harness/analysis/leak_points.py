"""What the measuring points of a run tell: each quantity at rest after each cycle, and what of it grew, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.analysis.facts import Facts
from harness.record.leak import Trim
from harness.record.models import Phase
from harness.record.tables import labels_of

How = Literal["last", "median", "least"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One series of the samples, and how a point is made of it."""

    name: str
    title: str
    metric: str
    unit: Literal["B", "count"]
    how: How
    bound: float
    """Growth that counts as none: bytes for each object, or a number for each cycle."""
    label: str | None = None
    """The label by which what grew is named."""


QUANTITIES = (
    Quantity("heap", "heap after collection", "memory.heap", "B", "least", 256.0),
    Quantity("rss", "RSS", "memory.rss", "B", "median", 1024.0),
    Quantity("anon", "anonymous memory", "memory.anon", "B", "median", 1024.0),
    Quantity("cgroup", "memory charged to the cgroup", "memory.cgroup", "B", "median", 1024.0),
    Quantity("file", "page cache of the cgroup", "memory.file", "B", "last", 1024.0),
    Quantity("free", "free memory held by the allocators", "memory.heap.free", "B", "least", 1024.0),
    Quantity("tasks", "tasks", "tasks", "count", "least", 0.2, "coroutine"),
    Quantity("threads", "threads", "threads", "count", "least", 0.2),
    Quantity("fds", "descriptors", "fds", "count", "least", 0.2, "sort"),
    Quantity("series", "metric series", "metrics.series", "count", "last", 0.2, "family"),
)
"""Bounds are what nobody would call a leak: at 256 B for each object, 100,000 objects that come and go leave 24 MiB. RSS, and
what else counts pages, is coarser. Least: what is there all the time; a scrape of ours may add a task or a buffer for a moment.
"""

_FUNCTIONS: Mapping[How, str] = {
    "last": "arg_max(value, t_ns)",
    "median": "quantile_disc(value, 0.5)",
    "least": "min(value)",
}


def judged_points(facts: Facts) -> list[Phase]:
    """The points that trends are taken from: up to the one after which free memory was given back."""
    found = []
    for phase in facts.run.phases:
        if phase.action == "trim":
            break
        if phase.action == "point" and phase.ended_ns is not None:
            found.append(phase)
    return found


def objects_of(facts: Facts, points: Sequence[Phase]) -> int:
    """How many objects each cycle created."""
    if len(points) < 2:
        return 0
    first, last = points[0].started_ns, points[-1].started_ns
    made = sum(p.done or 0 for p in facts.load_phases if p.action == "create" and first < p.started_ns < last)
    return round(made / (len(points) - 1))


def values(facts: Facts, quantity: Quantity, points: Sequence[Phase]) -> list[float | None]:
    """The quantity at each point."""
    rows = facts.record.sql(
        f"SELECT phase, {_FUNCTIONS[quantity.how]} FROM samples WHERE metric = ? AND labels = ? "
        "AND phase LIKE 'point-%' GROUP BY phase",
        [quantity.metric, "{}"],
    )
    found = {phase: float(value) for phase, value in rows if value is not None}
    return [found.get(point.name) for point in points]


def grown(facts: Facts, quantity: Quantity, points: Sequence[Phase], warm_up: int, most: int = 5) -> dict[str, float]:
    """What there is more of at the last point than after the warm-up, by name, the most first.

    Counts by name are sampled when they change: the last value at or before a point holds.
    """
    if quantity.label is None or len(points) < warm_up + 2:
        return {}
    sides = []
    for point in (points[warm_up], points[-1]):
        rows = facts.record.sql(
            "SELECT labels, arg_max(value, t_ns) FROM samples WHERE metric = ? AND labels != '{}' AND t_ns <= ? GROUP BY labels",
            [quantity.metric, point.ended_ns],
        )
        sides.append({_name(labels, quantity.label): float(value) for labels, value in rows})
    rises = {name: count - sides[0].get(name, 0.0) for name, count in sides[1].items() if name}
    return dict(sorted(((n, r) for n, r in rises.items() if r > 0), key=lambda item: -item[1])[:most])


def _name(labels: str, label: str) -> str:
    return labels_of(labels).get(label, "")


def trimmed(facts: Facts, points: Sequence[Phase]) -> Trim | None:
    """The resident set at the last point, and after free memory was given back; None where nobody tried."""
    event = next(iter(facts.record.events("trim")), None)
    if event is None or not points:
        return None
    if event.get("reason"):
        return Trim(reason=str(event["reason"]))
    (rss,) = (each for each in QUANTITIES if each.name == "rss")
    query = (
        "SELECT quantile_disc(value, 0.5) FROM samples "
        "WHERE metric = 'memory.rss' AND labels = '{}' AND phase = ? AND t_ns > ?"
    )
    after = facts.scalar(query, f"trim-{event['point']}", event["since_ns"])
    return Trim(rss_before=values(facts, rss, points)[-1], rss_after=after)
