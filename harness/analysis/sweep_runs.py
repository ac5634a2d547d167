"""What one run of a sweep says: its throughput, and the results beside it."""

from __future__ import annotations

from collections.abc import Mapping

from harness.analysis.facts import Facts
from harness.core import metrics
from harness.core.units import Dimension
from harness.record.models import SOUND
from harness.record.reader import RunRecord
from harness.record.sweep import SweepRun

THROUGHPUT = "throughput"
SHOWN = (
    "writes.conflict",
    "conflicts.per_reconcile",
    "queue.depth.max",
    "tasks.peak",
    "memory.rss.peak",
    "cpu.total",
    "writes.total",
    "reconciles.total",
)
"""Results that are kept of every run beside throughput, the one that decides, and the p99 of each probe."""
SHORTEST_WORK_S = 3.0
"""Metrics are read once a second: of less work than this no rate can be told."""


def throughput(facts: Facts) -> float | str:
    """Reconciles per second of the time in which their counter grew, from the load's start; a sentence where it cannot be told.

    Waiting for quiet is left out, so that two loads with the same pauses do not look more alike than they are.
    """
    start = facts.load_started_ns
    if start is None:
        return "no load was sent"
    rows = facts.record.sql(
        "SELECT t_ns, value FROM samples WHERE metric = 'reconciles.total' AND labels = '{}' ORDER BY t_ns"
    )
    done = busy = 0.0
    before: tuple[int, float] | None = None
    for t_ns, value in rows:
        if before is not None and t_ns > start and value > before[1]:
            done += value - before[1]
            busy += (t_ns - max(before[0], start)) / 1e9
        before = (t_ns, value)
    if not rows:
        return "the subject does not tell its reconciles"
    if busy < SHORTEST_WORK_S:
        return f"it worked for {busy:.1f} s only; give it more to do"
    return done / busy


def figures(record: RunRecord, values: Mapping[str, str], by: str) -> SweepRun:
    """What one run says."""
    facts = Facts(record)
    verdict = record.verdict
    made = SweepRun(run_id=facts.run.run_id, values=dict(values), valid=True)
    if verdict is None:
        made.valid, made.reason = False, "it has no verdict"
        return made
    if facts.run.ending is not None:
        made.valid, made.reason = False, facts.run.ending.sentence
    elif verdict.verdict not in SOUND:
        made.valid, made.reason = False, "; ".join(verdict.reasons) or verdict.verdict
    found = throughput(facts)
    made.figures[THROUGHPUT] = None if isinstance(found, str) else found
    probes = [name for name in verdict.results if name.startswith("latency.") and name.endswith(".p99")]
    for name in dict.fromkeys([*SHOWN, *([] if by == THROUGHPUT else [by]), *probes]):
        result = verdict.results.get(name)
        made.figures[name] = None if result is None else result.value
    if made.valid and made.figures[by] is None:
        result = verdict.results.get(by)
        why = found if by == THROUGHPUT else (result.reason if result else "this run has no such result")
        made.valid, made.reason = False, f"{by} is not known: {why}"
    return made


def lower_is_better(by: str) -> bool:
    """Whether less of what decides is better."""
    return by != THROUGHPUT and metrics.resolve(by).metric.direction == "lower"


def dimension(name: str) -> Dimension:
    """Of a figure."""
    return "per_second" if name == THROUGHPUT else metrics.resolve(name).metric.dimension
