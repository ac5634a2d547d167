"""Can this run be trusted? Rules by which a run is `invalid` although nothing went wrong: its own means fell short.

The thresholds and the runs they come from are in docs/trust.md. They are about what is certain to spoil a result; what may
have is said in the table of the report and costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.analysis import agents
from harness.analysis.facts import Facts
from harness.analysis.selfaudit import PhaseAudit, SelfAudit
from harness.core.units import format_value
from harness.record.models import ExpectationResult, Verdict
from harness.scenario.names import causing

GENERATOR_CORES = 0.90
"""At a fixed rate the generator is one thread: from here on the rate is its own limit, and its delays are measured as the
API server's."""
SHORTEST_S = 1.0
"""A phase must have lasted so long before a share of CPU time says anything."""
STEAL = 0.10
"""Share of the machine's CPU time that its host may take from load start to settled while times are judged."""
OTHERS = 0.95
"""Share of the machine's CPU time that other programs may use from load start to settled while times are judged."""
LAG_FLOOR_S, LAG_SHARE = 0.5, 0.10
"""An event loop may be late by a tenth of the tightest bound that is judged, and by this much in any case."""
SLIP_NOTED_S, OTHERS_NOTED = 0.1, 0.25
"""Worth a word, not a verdict."""

TOO_BUSY = "the machine was too busy to judge"
"""How reasons begin that have nothing to do with the subject: the same run may well be sound an hour later."""

HELD = "every bound on a time held all the same"

_TIMED = ("latency.", "api.", "startup.", "loop.lag", "cpu.total")
"""Results that a machine which is away for a while makes worse than they are."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The answer, why, and each load phase with what there is to say of it."""

    answer: str
    spoiled: list[str]
    remarks: list[str]
    """About the whole run; worth knowing, and no reason to call it invalid."""
    phases: list[tuple[PhaseAudit, list[str]]]


def trust(facts: Facts, verdict: Verdict) -> Trust:
    """The whole answer, for reports. Never at odds with the verdict: an OOM kill is a finding also where the load fell short."""
    audit = SelfAudit(facts)
    remarks = list(_whole(audit))
    phases = [(phase, list(_remarks(phase))) for phase in audit.phases()]
    if verdict.verdict == "invalid":
        answer = "No: the run is invalid, its figures say nothing about the subject."
        return Trust(answer, verdict.reasons, remarks, phases)
    spoiled = list(_spoiled(facts, audit))
    remarks = [*spoiled, *remarks]
    if verdict.verdict in ("error", "interrupted"):
        answer = "No: it did not come to its end."
    elif _forgiving(facts, verdict.expectations) is not None and any(text.startswith(TOO_BUSY) for text in spoiled):
        answer = (
            "Not its times: the machine was too busy to judge them, which was accepted (--on-busy warn)."
            if facts.run.on_busy == "warn"
            else f"Yes, but quote none of its times: the machine was too busy to measure them, though {HELD}."
        )
    elif not phases:
        answer = "There was no load that could have fallen short."
    elif remarks or any(said for _, said in phases):
        answer = "Yes, with care: nothing spoiled it, but read what follows."
    else:
        answer = "Yes: the load went out as planned, and nothing took the machine away."
    return Trust(answer, [], remarks, phases)


def weigh(facts: Facts, judged: Sequence[ExpectationResult]) -> tuple[list[str], list[str]]:
    """Why the run is invalid, by its own account, and what a busy machine did to it that does not make it so, with the reason
    for that."""
    why = _forgiving(facts, judged)
    spoiled = list(_spoiled(facts, SelfAudit(facts)))
    forgiven = [reason for reason in spoiled if why is not None and reason.startswith(TOO_BUSY)]
    return [reason for reason in spoiled if reason not in forgiven], [f"{reason} ({why})" for reason in forgiven]


def _forgiving(facts: Facts, judged: Sequence[ExpectationResult]) -> str | None:
    """Why a busy machine does not make the run invalid; None: it does."""
    if facts.run.on_busy == "warn":
        return "accepted by --on-busy warn"
    if facts.run.on_busy == "bounds" and _all_held(facts, judged):
        return HELD
    return None


def _all_held(facts: Facts, judged: Sequence[ExpectationResult]) -> bool:
    """Whether all that is expected of times are upper bounds that held: on a quieter machine they would have held too.

    Where a load goes out as fast as it can, a slow machine makes less of it, and a bound that held proves nothing.
    """
    return all(
        item.op in ("<", "<=") and result.ok is True and _paced(facts, item.metric)
        for item, result in zip(facts.scenario.expect, judged, strict=True)
        if item.metric.startswith(_TIMED)
    )


def _paced(facts: Facts, metric: str) -> bool:
    """Whether the requests that the result is about went out at a rate of their own."""
    sort, about = metric.split(".")[:2]
    probing = [
        phase.name for phase in causing(facts.scenario) if about in (probe.name for probe in phase.step.probes)
    ]  # fmt: skip
    causes = [
        phase
        for phase in facts.load_phases
        if (sort == "latency" and phase.name in probing) or (sort == "api" and phase.action == about)
    ]
    return all(phase.requested_per_s is not None and not phase.until_failure for phase in causes)


def _spoiled(facts: Facts, audit: SelfAudit) -> Iterator[str]:
    yield from _busy_generator(audit)
    yield from agents.shortfall(facts, audit)
    timed = [item for item in facts.scenario.expect if item.metric.startswith(_TIMED)]
    span = audit.span()
    if not timed or span is None:
        return
    steal = audit.steal(*span)
    if steal is not None and steal > STEAL:
        yield (
            f"{TOO_BUSY} {timed[0].metric}: its host took {steal:.0%} of its CPU time (steal), more "
            f"than {STEAL:.0%}; run it on a quieter host, or accept it with --on-busy warn"
        )
    others = audit.others(*span)
    if others is not None and others > OTHERS:
        yield (
            f"{TOO_BUSY} {timed[0].metric}: other programs used {others:.0%} of its CPU time, more than "
            f"{OTHERS:.0%}; end them, run it elsewhere, or accept it with --on-busy warn"
        )
    yield from _late(facts, audit, span[1])


def _busy_generator(audit: SelfAudit) -> Iterator[str]:
    for item in audit.phases():
        cores = item.generator_cores
        if item.phase.until_failure and item.failing_cores is not None and item.failing_cores > GENERATOR_CORES:
            yield (
                f"load phase {item.phase.name}: the load generator used {item.failing_cores:.0%} of a CPU, more than "
                f"{GENERATOR_CORES:.0%}, while {item.phase.failed_at_per_s:,.0f}/s was not kept: the limit found is its own, not "
                "the API server's"
            )
        if item.phase.requested_per_s and item.seconds >= SHORTEST_S and cores is not None and cores > GENERATOR_CORES:
            yield (
                f"load phase {item.phase.name}: the load generator used {cores:.0%} of a CPU, more than "
                f"{GENERATOR_CORES:.0%}; at {item.phase.requested_per_s:,.0f}/s it measures itself, lower the rate"
            )


def _late(facts: Facts, audit: SelfAudit, end_ns: int) -> Iterator[str]:
    """Loops that were late while what is judged was being measured: the generator's while it sent, ours until all settled."""
    probing = [phase.name for phase in causing(facts.scenario) if phase.step.probes]
    for prefix, names, loops in (
        ("latency.", probing, ("load.loop_lag", "overhead.loop_lag")),
        ("api.", [phase.name for phase in facts.load_phases], ("load.loop_lag",)),
    ):
        bounds = [item for item in facts.scenario.expect if item.metric.startswith(prefix)]
        phases = [phase for phase in facts.load_phases if phase.name in names and phase.ended_ns is not None]
        if not bounds or not phases:
            continue
        tightest = min(bounds, key=lambda item: item.value)
        allowed = max(LAG_FLOOR_S, LAG_SHARE * tightest.value)
        for loop in loops:
            whose = "load generator" if loop == "load.loop_lag" else "harness"
            until = [phase.ended_ns or 0 for phase in phases] if loop == "load.loop_lag" else [end_ns] * len(phases)
            worst = max(
                (audit.lag(loop, phase.started_ns, end) or 0.0 for phase, end in zip(phases, until, strict=True)),
            )
            if worst > allowed:
                yield (
                    f"{TOO_BUSY} {tightest.text}: the event loop of the {whose} was "
                    f"{format_value(worst, 'seconds')} late, more than {format_value(allowed, 'seconds')}"
                )


def _whole(audit: SelfAudit) -> Iterator[str]:
    span = audit.span()
    others = None if span is None else audit.others(*span)
    if others is not None and others > OTHERS_NOTED:
        yield (
            f"other programs used {others:.0%} of the machine's CPU time from load start to settled: times are longer than "
            "where the run has it for itself"
        )


def _remarks(item: PhaseAudit) -> Iterator[str]:
    """What there is to say of a phase, in words; nothing where all was well."""
    if item.beside:
        yield f"ran beside {', '.join(item.beside)}: all but its rate, delays and repeated attempts is of them together"
    if item.generator_cores is not None and item.generator_cores > GENERATOR_CORES and item.seconds >= SHORTEST_S:
        yield "the generator was at its own limit"
    if item.slip_p99_s is not None and item.slip_p99_s > SLIP_NOTED_S:
        yield "requests went out late: latencies hold the wait, service times do not"
    if (item.generator_lag_s or 0) > LAG_FLOOR_S:
        yield f"the generator's loop was {format_value(item.generator_lag_s or 0, 'seconds')} late"
    if (item.harness_lag_s or 0) > LAG_FLOOR_S:
        yield f"the harness's loop was {format_value(item.harness_lag_s or 0, 'seconds')} late"
    if item.retries:
        yield f"{item.retries:,} attempts were repeated"
    if item.rejected:
        yield f"the API server refused {item.rejected:,.0f} requests"
    if item.seconds < SHORTEST_S:
        return  # shares of so little time are chance
    if item.steal is not None and item.steal > STEAL:
        yield f"the host took {item.steal:.0%} of the CPU time"
