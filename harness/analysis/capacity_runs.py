"""What one run tells about capacity: a rung of the ladder, or how a trial under the real limit went."""

from __future__ import annotations

from harness.analysis.facts import EVER, Facts
from harness.core.units import format_value
from harness.record.capacity import LadderRun, Trial
from harness.record.models import SOUND, Phase
from harness.record.reader import RunRecord

_SETTLED_NS = 1_000_000_000
"""Of the rest before a restart so much is averaged."""


def rung(record: RunRecord, phase: str, count: int, factor: float) -> LadderRun:
    """A run of the ladder. `phase` is the step whose objects are counted."""
    facts = Facts(record)
    made = LadderRun(run_id=facts.run.run_id, count=count, size_factor=factor, valid=True)
    verdict = record.verdict
    if facts.run.ending is not None:
        made.valid, made.reason = False, f"the subject ended: {facts.run.ending.sentence}"
    elif verdict is None or verdict.verdict not in SOUND:
        why = "; ".join(verdict.reasons) if verdict else "it has no verdict"
        made.valid, made.reason = False, why or (verdict.verdict if verdict else "")
    elif (why_not := facts.unwitnessed("memory")) is not None:
        made.valid, made.reason = False, why_not
    made.bytes_per_object = facts.scalar(
        "SELECT avg(bytes) FROM requests WHERE phase = ? AND verb = 'create' AND error IS NULL", phase
    )
    made.idle = _settled(facts, "idle")
    restart = next((item for item in reversed(facts.run.phases) if item.action == "restart"), None)
    made.growth_peak = _peak(facts, 0, None if restart is None else restart.started_ns)
    if restart is None:
        made.growth_settled = _settled(facts, "settled")
    else:
        made.growth_settled = _average(facts, restart.started_ns - _SETTLED_NS, restart.started_ns)
        if restart.ended_ns is not None:
            made.cold_peak = _peak(facts, 1, None, restart)
            made.cold_settled = _settled(facts, "settled")
    if facts.run.subject.runtime == "go":
        made.outside_go, made.go_live = _outside_go(facts), facts.series("memory.heap", "last", phase="settled")
        if made.go_live is None:
            made.go_live = facts.series("memory.heap", "last")
    if made.valid and (made.growth_peak is None or made.bytes_per_object is None):
        made.valid, made.reason = False, "its memory cgroup was not seen, or nothing was created"
    return made


def _peak(facts: Facts, incarnation: int, until_ns: int | None, restart: Phase | None = None) -> float | None:
    """The highest charge of an incarnation, by the kernel or else by samples, less the page cache that was there all along."""
    marked = facts.scalar(
        "SELECT max(value) FROM samples WHERE metric = 'memory.cgroup.peak' AND labels->>'incarnation' = ?",
        str(incarnation),
    )
    sampled = facts.scalar(
        "SELECT max(value) FROM samples WHERE metric = 'memory.cgroup' AND labels = '{}' AND t_ns >= ? AND t_ns < ?",
        0 if restart is None else restart.started_ns, EVER if until_ns is None else until_ns,
    )  # fmt: skip
    idle = facts.run.phase("idle")
    ready_ns = (None if idle is None else idle.started_ns) if restart is None else restart.ended_ns
    return _less(marked if marked is not None else sampled, facts.scalar(
        "SELECT min(value) FROM samples WHERE metric = 'memory.file' AND labels = '{}' AND t_ns >= ? AND t_ns < ?",
        ready_ns or 0, EVER if until_ns is None else until_ns,
    ))  # fmt: skip


def _average(facts: Facts, from_ns: int, to_ns: int) -> float | None:
    charged, files = (
        facts.scalar(
            "SELECT avg(value) FROM samples WHERE metric = ? AND labels = '{}' AND t_ns >= ? AND t_ns < ?",
            metric, from_ns, to_ns,
        )
        for metric in ("memory.cgroup", "memory.file")
    )  # fmt: skip
    return _less(charged, files)


def _settled(facts: Facts, phase: str) -> float | None:
    return _less(*(facts.series(metric, "avg", phase=phase) for metric in ("memory.cgroup", "memory.file")))


def _less(charged: float | None, files: float | None) -> float | None:
    """Without the files that a subject was the first to read: the kernel takes them back before it kills, and the next run, which
    finds them read, is not charged with them."""
    return None if charged is None else charged - (files or 0.0)


def _outside_go(facts: Facts) -> float | None:
    """The most by which the charge exceeded what Go's runtime holds of the system, at its scrapes (about one a second)."""
    return facts.scalar(
        """
        SELECT max(charged.value - held.value) FROM (
          SELECT t_ns, max(value) FILTER (metric = 'go_memstats_sys_bytes')
            - max(value) FILTER (metric = 'go_memstats_heap_released_bytes') AS value
          FROM samples WHERE metric IN ('go_memstats_sys_bytes', 'go_memstats_heap_released_bytes')
          GROUP BY t_ns HAVING count(DISTINCT metric) = 2
        ) AS held ASOF JOIN (
          SELECT t_ns, value FROM samples WHERE metric = 'memory.cgroup' AND labels = '{}'
        ) AS charged ON held.t_ns >= charged.t_ns
        """
    )


def trial(record: RunRecord, count: int, what: str) -> Trial:
    """How a run under the real limit went: killed, survived, thrashing, or nothing that can be used.

    `what` is `growth` or `cold`: of the latter only what happens from the restart on counts, and a run that died before says
    nothing about it.
    """
    facts = Facts(record)
    run, ending = facts.run, facts.run.ending
    peak = facts.series("memory.cgroup.peak", "max")
    made = Trial(run_id=run.run_id, count=count, outcome="survived", peak=peak)
    restart = next((item for item in reversed(run.phases) if item.action == "restart"), None)
    early = what == "cold" and restart is None
    if ending is not None and not (early or (what == "cold" and restart and ending.t_ns < restart.started_ns)):
        if ending.kind in ("oom_limit", "thrashing"):
            made.outcome = "killed" if ending.kind == "oom_limit" else "thrashing"
            made.reason = ending.sentence
            if run.phase("idle") is None and restart is None:
                made.outcome, made.reason = "invalid", f"before any load: {ending.sentence}"
            return made
        made.outcome, made.reason = "invalid", ending.sentence
        return made
    if ending is not None or early:
        made.outcome = "invalid"
        made.reason = f"it ended before it could be restarted: {ending.sentence}" if ending else "it was not restarted"
        return made
    if facts.oom_kills:
        made.outcome, made.reason = "killed", f"{facts.oom_kills} OOM kills of its processes"
        return made
    verdict = record.verdict
    if verdict is None or verdict.verdict not in SOUND:
        why = "; ".join(verdict.reasons) if verdict else "it has no verdict"
        made.outcome, made.reason = "invalid", why
    return made


def told(made: LadderRun) -> str:
    """A rung in a line, for progress."""
    if not made.valid:
        return f"not valid: {made.reason}"
    cold = "" if made.cold_peak is None else f", restarted {format_value(made.cold_peak, 'bytes')}"
    return f"peak {format_value(made.growth_peak or 0, 'bytes')}, settled {format_value(made.growth_settled or 0, 'bytes')}{cold}"
