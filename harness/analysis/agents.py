"""The fake agents of a run: what they did, and whether they kept up. Their shortfall would pass for the subject's slowness."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.facts import Facts
from harness.analysis.selfaudit import SelfAudit
from harness.core.units import format_value

LATE = 0.05
"""Share of the answers that may be sent more than 1 s after they were due (`loadgen.agents.diary.LATE_S`)."""
CORES = 0.90
"""They are one thread: from here on when they see a deployment is their own limit, and no answer is late by their own clock."""
_SHORTEST_S = 1.0


def results(facts: Facts) -> Iterator[tuple[str, tuple[float | None, str | None]]]:
    """`agents.answers` and `agents.late.p99`, where the scenario has agents."""
    if facts.scenario.agents is None:
        return
    told = next(facts.record.events("agents"), None)
    missing = facts.cut_short or "the agents did not come to tell"
    yield "agents.answers", (None if told is None else float(told["answered"]), missing)
    late = None if told is None else told.get("late_p99_s")
    yield "agents.late.p99", (late, missing if told is None else "they had nothing to answer")


def shortfall(facts: Facts, audit: SelfAudit) -> Iterator[str]:
    """Why a run cannot be judged because of its agents."""
    if facts.scenario.agents is None:
        return
    yield from (str(event["message"]) for event in facts.record.events("agents_lost"))
    told = next(facts.record.events("agents"), None)
    if told is None:
        return
    answered, late = told["answered"], told["late"]
    if told["failed"]:
        error = f": {told['error']}" if told.get("error") else ""
        yield f"the fake agents could not send {told['failed']:,} of {told['seen']:,} answers{error}"
    if told["waiting"]:
        yield (
            f"{told['waiting']:,} of {told['seen']:,} deployments were not answered when the run ended: agents.delay is longer "
            "than the last settle waited"
        )
    if answered and late > LATE * answered:
        p99 = told.get("late_p99_s")
        worst = "" if p99 is None else f" (p99 {format_value(p99, 'seconds')})"
        yield (
            f"the fake agents sent {late / answered:.0%} of their answers more than 1 s late{worst}, more than {LATE:.0%}: the "
            "machine or the API server could not keep up"
        )
    yield from _busy(facts, audit)


def _busy(facts: Facts, audit: SelfAudit) -> Iterator[str]:
    since = facts.load_started_ns
    for phase in facts.run.phases:
        if since is None or phase.started_ns < since or phase.ended_ns is None or phase.action == "end":
            continue
        cores = audit.grown("agents.cpu", phase.started_ns, phase.ended_ns)
        if phase.ended_ns - phase.started_ns >= _SHORTEST_S * 1e9 and cores is not None and cores > CORES:
            yield (
                f"phase {phase.name}: the fake agents used {cores:.0%} of a CPU, more than {CORES:.0%}: how fast they answer is "
                "their own limit; have fewer Clusters or Bundles, or a longer heartbeat"
            )
