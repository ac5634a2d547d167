"""A night of gates for people and CI systems: one line for each scenario, then what each gate said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Self

from harness.core.errors import ExitCode
from harness.core.units import format_value
from harness.gate import markdown
from harness.record.checks import Check, Checks, CheckState, CheckSuite
from harness.record.night import Night, NightGate, NightVerdict

_WORDS: dict[NightVerdict, str] = {
    "pass": "pass", "improve": "improve", "regress": "**REGRESS**", "inconclusive": "inconclusive", "error": "**no result**",
    "skipped": "not measured",
}  # fmt: skip
_SHORT = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """One gate of a night as it came out; `checks` is None where it left none."""

    scenario: str
    baseline: str | None
    why: str
    exit_code: int
    seconds: float = 0.0
    longest_run_s: float | None = None
    checks: Checks | None = None
    message: str = ""
    skipped: bool = False
    late: bool = False

    def replaced(self, **changes: Any) -> Self:  # noqa: ANN401 # fields of this class
        """The same with changes."""
        return replace(self, **changes)


def to_gate(judged: Judged) -> NightGate:
    """A gate of a night as the document has it."""
    suite = judged.checks.suites[0] if judged.checks and judged.checks.suites else None
    verdict: NightVerdict = "skipped" if judged.skipped else "error"
    if suite is not None and not judged.late and suite.verdict in ("pass", "improve", "regress", "inconclusive"):
        verdict = suite.verdict  # type: ignore[assignment] # just looked at
    whole = suite.checks[-1].message if suite and suite.checks else ""
    return NightGate(
        scenario=judged.scenario, verdict=verdict, exit_code=judged.exit_code, baseline=judged.baseline,
        baseline_why=judged.why, experiment_id=suite.id if suite else None, seconds=judged.seconds,
        longest_run_s=judged.longest_run_s, message=judged.message or whole,
        alert=judged.checks.alert if judged.checks else None, blame=suite.blame if suite else [],
    )  # fmt: skip


def together(night: Night, judged: Sequence[Judged]) -> Checks:
    """All gates as one set of checks; one without a result is a failure, never absent."""
    suites: list[CheckSuite] = []
    warnings = list(night.warnings)
    alerts = []
    for each in judged:
        if each.checks is not None and not each.late:
            suites += each.checks.suites
            warnings += [f"{each.scenario}: {text}" for text in each.checks.warnings]
            alerts += [f"{each.scenario}: {each.checks.alert}"] if each.checks.alert else []
        else:
            suites.append(_without_result(night, each))
    return Checks(exit_code=night.exit_code, suites=suites, warnings=warnings, alert="; ".join(alerts) or None)


def render(night: Night, found: Checks) -> str:
    """The night as Markdown: a table with a row for each scenario, then every gate."""
    word = {0: "good", 1: "worse", 3: "no conclusion", 130: "interrupted"}.get(night.exit_code, "broken down")
    length, budget = (night.ended_at - night.started_at).total_seconds(), format_value(night.budget_s, "seconds")
    where = f"profile {markdown.plain(night.profile)} · {markdown.plain(night.cluster)}"
    lines = [
        f"## Night of {night.started_at:%Y-%m-%d}: {word}",
        "",
        f"{night.candidate[:_SHORT]} · {where} · {format_value(length, 'seconds')} of {budget}",
        "",
        "| scenario | | against | took | what was found |",
        "|---|---|---|---|---|",
    ]
    lines += [_row(gate) for gate in night.gates]
    return "\n".join([*lines, "", markdown.render(found)])


def _row(gate: NightGate) -> str:
    against = f"{gate.baseline[:_SHORT]}: {gate.baseline_why}" if gate.baseline else gate.baseline_why
    cells = [markdown.plain(gate.scenario), _WORDS[gate.verdict], markdown.plain(against),
             format_value(gate.seconds, "seconds"), markdown.plain(gate.message)]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _without_result(night: Night, judged: Judged) -> CheckSuite:
    good = judged.skipped and judged.exit_code == ExitCode.PASSED
    state: CheckState = "not judged" if good else "failed"
    title = f"gate {judged.scenario} · {night.profile}"
    return CheckSuite(
        id=f"{night.started_at.astimezone(UTC):%Y%m%d-%H%M%S}-{judged.scenario}", kind="gate", scenario=judged.scenario,
        title=title, started_at=datetime.now(UTC), seconds=judged.seconds, verdict="skipped" if good else "error",
        exit_code=judged.exit_code, checks=[Check(name="verdict", state=state, message=judged.message)],
    )  # fmt: skip
