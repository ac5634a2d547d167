"""From runs and gates to checks: one for each expectation or primary metric, and one for the whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harness.core import metrics
from harness.core.errors import ExitCode, worst
from harness.core.units import format_value
from harness.gate.acks import Acks
from harness.gate.environment import CHECKOUT
from harness.record.checks import Check, Checks, CheckState, CheckSuite
from harness.record.gate import Blamed, Effect, Gate, Primary
from harness.record.models import ExpectationResult, Run, Verdict

WHOLE = "verdict"


def together(suites: Sequence[CheckSuite], acks: Acks) -> Checks:
    """All suites of one command, with the worst of their exit codes."""
    warnings = acks.warnings({suite.scenario for suite in suites})
    return Checks(exit_code=worst(suite.exit_code for suite in suites), suites=list(suites), warnings=warnings)


def of_run(run: Run, verdict: Verdict, acks: Acks) -> CheckSuite:
    """The checks of one run."""
    scenario = run.scenario
    checks = [_expectation(item, scenario.name, acks) for item in verdict.expectations]
    code = _run_code(verdict, checks)
    title = " · ".join(filter(None, (scenario.name, f"arm {scenario.arm}" if scenario.arm else "", run.profile or "")))
    whole = _state(verdict.verdict == "passed", verdict.verdict == "failed", acknowledged=code != verdict.exit_code)
    checks.append(_whole(whole, verdict.verdict, verdict.reasons))
    commit = run.source.commit if run.source else ""
    seconds = (run.ended_at - run.started_at).total_seconds() if run.ended_at else None
    rows = [
        [name, _text(name, item.value, item.unit)] for name, item in verdict.results.items() if item.value is not None
    ]
    return CheckSuite(
        id=run.run_id, kind="run", scenario=scenario.name, title=title, started_at=run.started_at, seconds=seconds,
        verdict=verdict.verdict, exit_code=code, checks=checks, warnings=verdict.warnings,
        table=[["metric", "value"], *rows],
        facts=_facts(machine=run.machine.fingerprint, commit=commit, harness=run.versions.get("harness", "")),
    )  # fmt: skip


def of_gate(gate: Gate, acks: Acks) -> CheckSuite:
    """The checks of one gate."""
    checks = [_primary(item, gate, acks) for item in gate.primary]
    known = [check for check in checks if check.state == "acknowledged"]
    others_pass = all(check.state in ("passed", "acknowledged") for check in checks)
    # a candidate that fails or dies more often is a regression of its own, which no metric's acknowledgement covers
    excused = gate.verdict == "regress" and bool(known) and others_pass and not _findings_decided(gate)
    code = int(ExitCode.PASSED) if excused and not gate.advisory else gate.exit_code
    good = gate.verdict in ("pass", "improve") and gate.exit_code == ExitCode.PASSED
    whole = _state(good, gate.verdict == "regress" and not gate.advisory, acknowledged=excused and not gate.advisory)
    checks.append(_whole(whole, f"{gate.verdict}{' (advisory)' if gate.advisory else ''}", gate.reasons))
    seconds = (gate.ended_at - gate.started_at).total_seconds() if gate.ended_at else None
    return CheckSuite(
        id=gate.experiment_id, kind="gate", scenario=gate.scenario,
        title=" · ".join(filter(None, (f"gate {gate.scenario}", gate.profile or ""))), started_at=gate.started_at,
        seconds=seconds, verdict=gate.verdict, exit_code=code, checks=checks, warnings=gate.warnings,
        table=[_GATE_HEAD, *(_row(item) for item in [*gate.primary, *gate.secondary] if item.effect is not None)],
        blame=[_blamed(item) for item in gate.blame],
        facts=_facts(
            baseline=gate.baseline.words, candidate=gate.candidate.words, commit=gate.candidate.revision or "",
            pairs=f"{gate.pairs_valid} valid of {gate.pairs_planned} planned", machine=gate.environment.machine,
        ),
    )  # fmt: skip


def _blamed(item: Blamed) -> str:
    """What grew, and, of an allocation site, the lines that called it: the site itself is often one of a library."""
    called = " ← ".join(_CHECKOUT.sub("", caller) for caller in item.callers[:_CALLERS])
    return f"{item.rank}. {item.sentence}{f'; called from {called}' if called else ''}"


_CALLERS = 4
_CHECKOUT = re.compile(f"{CHECKOUT.pattern}/")
_GATE_HEAD = ["metric", "baseline", "candidate", "effect", "interval", "verdict"]


def _expectation(item: ExpectationResult, scenario: str, acks: Acks) -> Check:
    metric = item.expr.split()[0] if item.expr else ""
    value = "" if item.value is None else f"measured {_text(metric, item.value, '')}"
    message = "; ".join(filter(None, (value, item.note)))
    if item.ok is None or not item.counts:
        return Check(name=item.expr, metric=metric, state="not judged", message=message)
    if item.ok:
        return Check(name=item.expr, metric=metric, state="passed", message=message)
    ack = acks.of(metric, scenario)
    if ack is None:
        return Check(name=item.expr, metric=metric, state="failed", message=message)
    return Check(name=item.expr, metric=metric, state="acknowledged", message=f"{message}; {ack.words}")


def _run_code(verdict: Verdict, checks: Sequence[Check]) -> int:
    """0 where everything that failed is acknowledged, and nothing but expectations failed."""
    wrong = [check for check in checks if check.state in ("failed", "acknowledged")]
    known = bool(wrong) and all(check.state == "acknowledged" for check in wrong)
    killed = any(check.metric == "oom.kills" for check in wrong)  # then the kill stands among the reasons, too
    by_expectations = all(reason.startswith("expected ") for reason in verdict.reasons)
    if verdict.verdict == "failed" and known and (killed or by_expectations):
        return int(ExitCode.PASSED)
    return verdict.exit_code


def _primary(item: Primary, gate: Gate, acks: Acks) -> Check:
    name = f"{item.metric} within {item.threshold_text}"
    details = [
        f"baseline {_text(item.metric, item.baseline, item.unit)}, candidate {_text(item.metric, item.candidate, item.unit)}"
    ]
    ack = acks.of(item.metric, gate.scenario)
    state: CheckState = _state(
        item.verdict in ("pass", "improve"), item.verdict == "regress", acknowledged=ack is not None
    )
    message = item.sentence if state != "acknowledged" or ack is None else f"{item.sentence}; {ack.words}"
    return Check(name=name, metric=item.metric, state=state, message=message, details=details)


def _findings_decided(gate: Gate) -> bool:
    """Whether the candidate's failures, and not a metric alone, made it a regression."""
    return all(item.verdict != "regress" for item in gate.primary) or (
        gate.findings.p is not None and gate.findings.p <= gate.alpha
    )


def _state(good: bool, bad: bool, *, acknowledged: bool) -> CheckState:
    if good:
        return "passed"
    return "unclear" if not bad else "acknowledged" if acknowledged else "failed"


def _whole(state: CheckState, verdict: str, reasons: Iterable[str]) -> Check:
    lines = list(reasons)
    return Check(name=WHOLE, state=state, message=": ".join([verdict, *lines[:1]]), details=lines)


def _row(item: Effect) -> list[str]:
    verdict = item.verdict if isinstance(item, Primary) else ""
    ends = [_effect(item, end) if end is not None else "none" for end in (item.low, item.high)]
    return [
        item.metric, _text(item.metric, item.baseline, item.unit), _text(item.metric, item.candidate, item.unit),
        _effect(item, item.effect or 0.0), " to ".join(ends), verdict,
    ]  # fmt: skip


def _effect(item: Effect, value: float) -> str:
    return f"{value:+.1%}" if item.scale == "relative" else f"{value:+.4g} {item.unit}".removesuffix(" count")


def _text(metric: str, value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    try:
        return format_value(value, metrics.resolve(metric).metric.dimension)
    except ValueError:  # of another version of the harness
        return f"{value:.4g} {unit}".rstrip()


def _facts(**facts: str) -> dict[str, str]:
    return {name: text for name, text in facts.items() if text}
