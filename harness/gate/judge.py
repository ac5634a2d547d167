"""The result of a gate from the pairs that were measured: looks in order, verdict, secondaries, reasons. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness.analysis import spending
from harness.analysis.spending import ALPHA
from harness.core import metrics
from harness.core.errors import ExitCode
from harness.gate import blame, decide
from harness.gate.blame_sites import has_profiles
from harness.gate.effects import effect_of, group_values, pair_values
from harness.gate.environment import environment
from harness.gate.pairing import Pair, Side
from harness.record.gate import Effect, Findings, Gate, GateVerdict, Look, PairValue, Primary
from harness.record.models import ExperimentArm
from harness.scenario.gating import PrimaryMetric

_SHOWN = 3
EXIT_CODES: dict[GateVerdict, ExitCode] = {
    "pass": ExitCode.PASSED,
    "improve": ExitCode.PASSED,
    "regress": ExitCode.FAILED,
    "inconclusive": ExitCode.INVALID,
}


@dataclass(frozen=True, slots=True)
class Question:
    """What an experiment was made to decide; stated before the first run."""

    experiment_id: str
    scenario: str
    profile: str | None
    started_at: datetime
    baseline: ExperimentArm
    candidate: ExperimentArm
    primary: Sequence[PrimaryMetric]
    pairs: int
    early: bool = True
    """Whether it may end at a look before the last."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an experiment stands after its pairs so far."""

    looks: list[Look]
    lines: list[Primary]
    findings: Findings
    decided: bool
    """At a look before the last: nothing more need be measured."""


def stand(question: Question, pairs: Sequence[Pair], *, ended: bool) -> Standing:
    """Take every look that is due, in order; the last one as soon as the experiment is over or has all its pairs."""
    valid = [pair for pair in pairs if pair.valid]
    plan = spending.looks(question.pairs, early=question.early)
    looks: list[Look] = []
    for step in plan:
        last = step is plan[-1]
        if len(valid) < step.pairs and not ended:
            break
        if len(valid) < step.pairs and not last:
            continue
        seen = valid if last else valid[: step.pairs]
        lines, found = _lines(question, seen, step.alpha), decide.findings(seen)
        verdict = decide.overall(lines, found, step.alpha, _doubts(question, pairs, counted=last))
        looks.append(Look(pairs=len(seen), alpha=step.alpha, verdict=verdict))
        if last or verdict != "inconclusive":
            return Standing(looks, lines, found, decided=not last)
    return Standing(looks, _lines(question, valid, plan[-1].alpha), decide.findings(valid), decided=False)


def judge(
    question: Question,
    pairs: Sequence[Pair],
    *,
    ended_at: datetime | None,
    interrupted: str | None = None,
    profiled: Sequence[Pair] = (),
) -> Gate:
    """The gate's result. `interrupted` says why it ended before its end; then it decides nothing.

    `profiled` are pairs under a profiler: they take part in blame, and in nothing else.
    """
    standing = stand(question, pairs, ended=True)
    look = standing.looks[-1]
    verdict: GateVerdict = "inconclusive" if interrupted else look.verdict
    valid = [pair for pair in pairs if pair.valid]
    used = valid[: look.pairs]
    doubts = _doubts(question, pairs, counted=not standing.decided)
    runs = {arm: [pair.sides[arm].record.run for pair in used] for arm in ("baseline", "candidate")}
    primary_names = {item.metric for item in question.primary}
    secondary = [line for line in _all(used, look.alpha) if line.metric not in primary_names]
    return _gate(
        question,
        ended_at,
        verdict,
        interrupted,
        advisory=False,
        reasons=_reasons(standing.lines, standing.findings, verdict, doubts),
        warnings=_warnings(question, pairs, standing.findings, profiled),
        pairs_valid=len(valid),
        early=question.early,
        stopped_early=standing.decided,
        looks=standing.looks,
        primary=standing.lines,
        secondary=secondary,
        findings=standing.findings,
        pairs=[pair.facts() for pair in pairs],
        environment=environment(runs["baseline"], runs["candidate"], on_purpose=True),
        blame=blame.rank(used, [*standing.lines, *secondary], profiled) if verdict == "regress" else [],
    )


def judge_stored(
    question: Question,
    baseline: Sequence[Side],
    candidate: Sequence[Side],
    *,
    ended_at: datetime,
    interrupted: str | None = None,
) -> Gate:
    """The advisory result against runs that were measured before: not interleaved, so it informs and decides nothing."""
    sound = {"baseline": [s for s in baseline if s.sound], "candidate": [s for s in candidate if s.sound]}
    before, after = sound["baseline"], sound["candidate"]
    values = {item.metric: group_values(before, after, item.metric) for item in question.primary}
    lines = decide.primaries(question.primary, values, ALPHA, in_pairs=False)
    nothing = Findings(baseline=0, candidate=0, both=0)
    doubts = [
        f"{arm}: {side.verdict.verdict}: {'; '.join(side.verdict.reasons[:1])}"
        for arm, sides in (("baseline", baseline), ("candidate", candidate))
        for side in sides
        if not side.sound
    ]
    verdict: GateVerdict = "inconclusive" if interrupted else decide.overall(lines, nothing, ALPHA, doubts)
    names = _names([*before, *after])
    primary_names = {item.metric for item in question.primary}
    secondary = [
        effect_of(name, group_values(before, after, name), scale=None, in_pairs=False)
        for name in names
        if name not in primary_names
    ]
    advice = (
        "the baseline was measured at another time: what else has changed since then nobody knows; this is advice only"
    )
    return _gate(
        question,
        ended_at,
        verdict,
        interrupted,
        advisory=True,
        reasons=[advice, *_reasons(lines, nothing, verdict, doubts)],
        pairs_valid=0,
        primary=lines,
        secondary=secondary,
        findings=nothing,
        pairs=[],
        environment=environment([s.record.run for s in before], [s.record.run for s in after], on_purpose=True),
    )


def _gate(
    question: Question, ended_at: datetime | None, verdict: GateVerdict, interrupted: str | None, *, advisory: bool,
    reasons: Sequence[str], **found: Any,  # noqa: ANN401 # the model checks them
) -> Gate:  # fmt: skip
    """What every result has, whatever it was found from. An interruption comes first among the reasons."""
    code = ExitCode.INTERRUPTED if interrupted else ExitCode.INVALID if advisory else EXIT_CODES[verdict]
    return Gate(
        experiment_id=question.experiment_id, scenario=question.scenario, profile=question.profile,
        started_at=question.started_at, ended_at=ended_at, baseline=question.baseline, candidate=question.candidate,
        verdict=verdict, advisory=advisory, exit_code=code, interrupted=interrupted is not None,
        reasons=[*([interrupted] if interrupted else []), *reasons], alpha=ALPHA, pairs_planned=question.pairs, **found,
    )  # fmt: skip


def _lines(question: Question, pairs: Sequence[Pair], alpha: float) -> list[Primary]:
    values: dict[str, list[PairValue]] = {item.metric: pair_values(pairs, item.metric) for item in question.primary}
    return decide.primaries(question.primary, values, alpha)


def _all(pairs: Sequence[Pair], alpha: float) -> list[Effect]:
    sides = [side for pair in pairs for side in pair.sides.values()]
    return [effect_of(name, pair_values(pairs, name), scale=None, in_pairs=True, alpha=alpha) for name in _names(sides)]


def _names(sides: Sequence[Side]) -> list[str]:
    """The metrics that some run has a value of, in the catalogue's order."""
    found = {name for side in sides for name, result in side.results.items() if result.value is not None}
    order = {metric.name: index for index, metric in enumerate(metrics.CATALOGUE)}
    return sorted(found, key=lambda name: (order[metrics.resolve(name).metric.name], name))


def _doubts(question: Question, pairs: Sequence[Pair], *, counted: bool) -> list[str]:
    """Why the gate cannot pass whatever the metrics say: an invalid run, or (at the end) too few pairs."""
    doubts = [
        f"pair {pair.number}: {reason}"
        for pair in pairs
        if not pair.valid and not pair.spoiled_by_machine
        for reason in pair.reasons()
    ]
    valid = sum(pair.valid for pair in pairs)
    if counted and valid < question.pairs:
        doubts.append(f"{valid} of {question.pairs} pairs are valid measurements")
    return doubts


def _reasons(lines: Sequence[Primary], found: Findings, verdict: GateVerdict, doubts: Sequence[str]) -> list[str]:
    reasons = [f"{line.metric}: {line.sentence}" for line in lines]
    if found.candidate > found.baseline:
        reasons.append(
            f"the candidate failed alone in {found.candidate} pairs, the baseline alone in {found.baseline}; "
            + "; ".join(found.examples[:1])
        )
    if verdict == "inconclusive":
        reasons += doubts[:_SHOWN]
        if len(doubts) > _SHOWN:
            reasons.append(f"and {len(doubts) - _SHOWN} more")
    return reasons


def _warnings(question: Question, pairs: Sequence[Pair], found: Findings, profiled: Sequence[Pair]) -> list[str]:
    warnings = []
    spoiled = [pair.number for pair in pairs if not pair.valid and pair.spoiled_by_machine]
    if spoiled:
        numbers = ", ".join(map(str, spoiled))
        warnings.append(f"the machine was too busy in {len(spoiled)} pairs ({numbers}), which were measured again")
    if found.both:
        warnings.append(f"both arms failed the scenario's expectations in {found.both} pairs")
    unseen = [pair.number for pair in profiled if not has_profiles(pair)]
    if unseen:
        numbers = ", ".join(map(str, unseen))
        warnings.append(f"pairs under memray without a profile of both arms: {numbers}; {_why_unseen(profiled)}")
    fewest = spending.fewest(len(question.primary))
    if question.pairs < fewest:
        warnings.append(f"{question.pairs} pairs can decide nothing; at least {fewest} are needed, better 12")
    return warnings


def _why_unseen(profiled: Sequence[Pair]) -> str:
    for record in (side.record for pair in profiled for side in pair.sides.values()):
        for collector in record.run.collectors:
            if collector.name == "memray" and collector.state != "on":
                return str(collector.reason)
    return "harness show RUN says how they ended"
