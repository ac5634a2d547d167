"""The verdict of one run, from its record alone.

Precedence: error, interrupted, OOM, invalid, failed, inconclusive, passed. A run whose load or coverage fell short is
`invalid` whatever its figures say; a witnessed kill is a finding and is judged by the expectations about kills.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence

from harness.analysis.disturbed import Disturbance
from harness.analysis.facts import Facts
from harness.analysis.results import compute
from harness.analysis.trust import weigh
from harness.core import etcd, metrics
from harness.core.errors import ExitCode
from harness.core.handles import EndKind
from harness.core.units import format_value
from harness.record.models import ExpectationResult, Phase, Result, Verdict, VerdictName
from harness.record.reader import RunRecord
from harness.scenario.model import Expectation

SHORTFALL = 0.05
"""Share of a fixed rate, or of a phase's objects, that may be missing before the run is invalid."""
HICCUP_S = 0.25
"""How far behind its schedule, in seconds, a phase at a fixed rate must end before its rate counts as missed. In a phase of
0.3 s one late wake-up of 16 ms is 5 %, and says nothing about what the machine can send."""

_OF_OUR_LOAD = ("load.", "api.", "latency.", "completeness.", "memory.per_object.", "failover.")
"""Results that an observed run does not have: nobody knows what somebody else sent, or what must come of it."""

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_EXIT: dict[VerdictName, ExitCode] = {
    "passed": ExitCode.PASSED,
    "failed": ExitCode.FAILED,
    "inconclusive": ExitCode.INVALID,
    "invalid": ExitCode.INVALID,
    "error": ExitCode.INVALID,
    "interrupted": ExitCode.INTERRUPTED,
}


def judge(record: RunRecord) -> Verdict:
    """Results, expectations and the verdict of a sealed or interrupted record."""
    facts = Facts(record)
    results = compute(record)
    disturbance = Disturbance(facts)
    expectations = [_expectation(item, results, facts, disturbance) for item in facts.scenario.expect]
    distrust, forgiven = weigh(facts, expectations)
    verdict, reasons = _verdict(facts, results, expectations, distrust)
    exit_code = int(_EXIT[verdict])
    outcome = facts.run.outcome
    if verdict == "error" and outcome is not None and outcome.exit_code:
        exit_code = outcome.exit_code
    return Verdict(
        run_id=facts.run.run_id,
        verdict=verdict,
        exit_code=exit_code,
        results=results,
        expectations=expectations,
        reasons=reasons,
        warnings=[*filter(None, [disturbance.sentence()]), *forgiven, *_warnings(facts)],
    )


def stored_or_judged(record: RunRecord) -> Verdict:
    """The verdict on disk; of a run that has none yet, one made from what is there, not stored."""
    return record.verdict or judge(record)


def _verdict(
    facts: Facts, results: Mapping[str, Result], expectations: list[ExpectationResult], distrust: Sequence[str]
) -> tuple[VerdictName, list[str]]:
    run = facts.run
    if run.outcome is not None and run.outcome.state == "error" and not _ended_before_ready(facts, "oom_limit"):
        return "error", [run.outcome.message or "the run broke down"]
    if run.outcome is not None and run.outcome.state == "invalid" and not facts.oom_kills:
        if _ended_before_ready(facts, "crash", "thrashing"):
            return "failed", [run.outcome.message or "the subject ended before it was ready"]
        return "invalid", [run.outcome.message or "the scenario could not be carried out"]
    if run.outcome is None or run.outcome.state == "interrupted":
        message = run.outcome.message if run.outcome else None
        return "interrupted", [message or "the harness went away before the run ended"]
    if facts.oom_kills:
        return _after_oom(facts, results, expectations)
    if full := next(
        facts.record.events(etcd.EVENT), None
    ):  # what is missing, and a subject that crashed, follow from that
        return "invalid", [str(full["message"])]
    ending = run.ending
    if ending is not None and ending.kind == "oom_node":
        return "invalid", [ending.sentence]
    if ending is not None and ending.kind in ("crash", "thrashing"):
        return "failed", [ending.sentence]
    if ending is not None and ending.kind == "gone":
        return "invalid", [ending.sentence]
    if short := [
        *_load_shortfall(facts),
        *_idle(facts),
        *_coverage(facts, results),
        *_not_engaged(facts, results),
        *distrust,
    ]:
        return "invalid", short
    return _by_expectations(expectations)


def _ended_before_ready(facts: Facts, *kinds: EndKind) -> bool:
    """Whether the run could not go on because the subject ended in such a way: a finding like any later one."""
    ending = facts.run.ending
    ours = facts.run.subject.kind == "command"
    return ours and ending is not None and ending.kind in kinds and facts.run.phase("start") is None


def _after_oom(
    facts: Facts, results: Mapping[str, Result], expectations: list[ExpectationResult]
) -> tuple[VerdictName, list[str]]:
    ending = facts.run.ending
    sentence = (
        ending.sentence
        if ending is not None and ending.kind == "oom_limit"
        else f"OOM kills witnessed: {facts.oom_kills}"
    )
    if _ended_before_ready(facts, "oom_limit"):
        sentence += ", before it was ready"
    about_kills = [item for item in expectations if item.expr.split()[0] == "oom.kills"]
    if not about_kills:
        return "failed", [sentence, "the scenario expects nothing about kills"]
    if not all(item.ok for item in about_kills):
        return "failed", [sentence, *_failed(expectations)]
    start = facts.load_started_ns
    first = min((event["t_ns"] for event in facts.oom_events), default=ending.t_ns if ending else 0)
    if start is None or first <= start:
        return "invalid", ["the kill came before the load began: the limit is below what the idle subject needs"]
    if short := [text for text in _not_engaged(facts, results) if "cut short" not in text]:
        return "invalid", short
    if failed := _failed([item for item in expectations if item.counts]):
        return "failed", failed
    return "passed", [f"expected: {sentence}"]


def _by_expectations(expectations: list[ExpectationResult]) -> tuple[VerdictName, list[str]]:
    if failed := _failed(expectations):
        return "failed", failed
    if open_ := [f"{item.expr}: {item.note}" for item in expectations if item.ok is None and item.counts]:
        return "inconclusive", open_
    if expectations and not any(item.counts for item in expectations):
        return "inconclusive", ["no expectation is about what can be seen without a load of ours"]
    return "passed", []


def _failed(expectations: list[ExpectationResult]) -> list[str]:
    def line(item: ExpectationResult) -> str:
        if item.value is None:
            return f"expected {item.expr}, but {item.note}"
        dimension = metrics.resolve(item.expr.split()[0]).metric.dimension
        return f"expected {item.expr}, measured {format_value(item.value, dimension)}"

    return [line(item) for item in expectations if item.ok is False]


def _expectation(
    item: Expectation, results: Mapping[str, Result], facts: Facts, disturbance: Disturbance
) -> ExpectationResult:
    result = results.get(item.metric) or Result(value=None, unit="", reason="this run has no such result")
    cut = facts.cut_short is not None and result.value is None
    if (note := disturbance.note(item)) is not None:
        return ExpectationResult(expr=item.text, value=result.value, ok=None, counts=not facts.oom_kills, note=note)
    if result.value is None and facts.run.observed and item.metric.startswith(_OF_OUR_LOAD):
        note = "not applicable: somebody else's load was observed, and this is about one of ours"
        return ExpectationResult(expr=item.text, value=None, ok=None, counts=False, note=note)
    if result.value is None:
        never = (result.reason or "").startswith("never")
        failed = False if never and item.op in ("<", "<=", "==") else None
        return ExpectationResult(expr=item.text, value=None, ok=failed, counts=not cut, note=result.reason)
    return ExpectationResult(expr=item.text, value=result.value, ok=_OPERATORS[item.op](result.value, item.value))


def _load_shortfall(facts: Facts) -> Iterator[str]:
    acted = [phase for phase in facts.run.phases if phase.action in ("restart", "failover", "hook")]
    yield from (f"{phase.name}: {phase.failure}" for phase in acted if phase.failure is not None)
    if facts.run.observed:
        return  # somebody else's load is not ours to judge
    yield from (str(event["message"]) for event in facts.record.events("load_worker_lost"))
    if not facts.load_phases and not any(phase.action == "hook" for phase in acted):  # nobody knows what a hook does
        yield "no load was sent: these are the figures of an idle subject"
    for phase in facts.load_phases:
        yield from _phase_shortfall(phase, facts)


def _idle(facts: Facts) -> Iterator[str]:
    """A subject that never asked the API server anything would pass every limit; one with webhooks is asked itself."""
    if facts.run.subject.webhooks:
        return
    if facts.unwitnessed("audit") is None and not facts.scalar(
        "SELECT count(*) FROM samples WHERE source = 'audit' AND metric IN ('api.requests', 'writes.total')"
    ):
        yield "the subject made no request to the API server; does it use the kubeconfig of this run ({kubeconfig}, KUBECONFIG)?"


def _phase_shortfall(phase: Phase, facts: Facts) -> Iterator[str]:
    requested, done = phase.requested or 0, phase.done or 0
    if phase.ended_ns is None:
        yield f"load phase {phase.name} did not end"
    elif phase.until_failure:
        return  # that it fell short is what it looked for
    elif done < requested * (1 - SHORTFALL):
        yield f"load phase {phase.name} made {done} of {requested} requests succeed{_first_refusal(phase, facts)}"
    elif _too_slow(phase) and _behind_s(phase) > HICCUP_S:
        yield (
            f"load phase {phase.name} reached {phase.achieved_per_s or 0:.1f}/s of {phase.requested_per_s:.1f}/s, more than "
            f"{SHORTFALL:.0%} short; the machine or the API server could not keep up"
        )


def _too_slow(phase: Phase) -> bool:
    return bool(phase.requested_per_s) and (phase.achieved_per_s or 0) < (phase.requested_per_s or 0) * (1 - SHORTFALL)


def _behind_s(phase: Phase) -> float:
    """How much later than planned the last request of a phase at a fixed rate was sent, in seconds."""
    if not (phase.requested_per_s and phase.achieved_per_s):
        return math.inf
    return (phase.done or 0) / phase.achieved_per_s - (phase.requested or 0) / phase.requested_per_s


def _first_refusal(phase: Phase, facts: Facts) -> str:
    """The first request that was given up, by its object's name and in the API server's words."""
    if not phase.failed:
        return ""
    rows = facts.record.sql(
        "SELECT name, arg_max(error, attempt) FROM requests WHERE phase = ? GROUP BY name "
        "HAVING count(*) FILTER (error IS NULL) = 0 ORDER BY min(sent_ns) LIMIT 1",
        [phase.name],
    )
    return "".join(f"; {name}: {error}" for name, error in rows)


def _coverage(facts: Facts, results: Mapping[str, Result]) -> Iterator[str]:
    for item in facts.run.expected:
        result = results[f"completeness.{item.kind}"]
        if item.count and result.value is None:
            yield f"completeness of {item.kind} is unknown: {result.reason}"
        elif surplus := facts.surplus(item.kind):
            yield f"{surplus:.0f} {item.kind} exist that the load has deleted{_waiting(item.kind, facts)}"
        elif item.count and result.value != 1:
            yield f"incomplete: {(result.value or 0) * item.count:.0f} of {item.count} {item.kind} exist"


def _waiting(kind: str, facts: Facts) -> str:
    """An object that was deleted and is not gone, and what it waits for."""
    event = next((event for event in facts.record.events("undeleted") if event["kind"] == kind), None)
    if event is None:
        return ""
    finalizers = ", ".join(event["finalizers"])
    return f"; {event['name']} waits for {f'its finalizers {finalizers}' if finalizers else 'its deletion'}"


def _not_engaged(facts: Facts, results: Mapping[str, Result]) -> Iterator[str]:
    for item in facts.scenario.engaged:
        if facts.run.observed and item.metric.startswith(_OF_OUR_LOAD):
            continue
        result = results.get(item.metric)
        dimension = metrics.resolve(item.metric).metric.dimension
        wanted = format_value(item.min, dimension)
        if result is None or result.value is None:
            reason = "no such result" if result is None else result.reason
            yield f"not engaged: {item.metric} must be at least {wanted}, but is unknown ({reason})"
        elif result.value < item.min:
            yield f"not engaged: {item.metric} is {format_value(result.value, dimension)}, must be at least {wanted}"


def _warnings(facts: Facts) -> Iterator[str]:
    for item in facts.run.collectors:
        if item.state == "failed":
            yield f"collector {item.name}: {item.reason}"
    if damaged := facts.record.damaged_events:
        yield f"{damaged} lines of events.jsonl are damaged, or of another version, and are left out"
    for event in facts.record.events("warning"):
        yield str(event.get("message", "a warning without words"))
    for phase in facts.load_phases:
        if phase.until_failure and phase.sustained_per_s is not None and phase.failed_at_per_s is None:
            kept = format_value(phase.sustained_per_s, "per_second")
            yield f"phase {phase.name} kept its last step, {kept}: the limit lies above it"
        if not phase.until_failure and _too_slow(phase) and _behind_s(phase) <= HICCUP_S:
            late = format_value(max(_behind_s(phase), 0.0), "seconds")
            yield f"phase {phase.name} was {late} late at its end; it is too short for a rate: quote none of it"
    for phase in facts.run.phases:
        if phase.settled is False:
            yield f"phase {phase.name} did not become quiet before its timeout"
