"""Verdicts of primary metrics, and of the runs' own findings, at one look. The rules are in docs/gate.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy import stats

from harness.analysis import paired
from harness.analysis.paired import Decision, NoEffect, Threshold
from harness.analysis.signflip import least_pairs
from harness.core import metrics
from harness.core.units import format_value
from harness.gate.effects import Test, effect_of, test_of
from harness.gate.pairing import Pair
from harness.record.gate import Effect, Findings, GateVerdict, PairValue, Primary
from harness.scenario.gating import PrimaryMetric

POWER = 0.95
"""With which the minimum detectable effect would have been found."""
_EXAMPLES = 3


def primaries(
    stated: Sequence[PrimaryMetric], values: Mapping[str, Sequence[PairValue]], alpha: float, *, in_pairs: bool = True
) -> list[Primary]:
    """The primary metrics, each with its verdict at the one-sided level `alpha` (of the whole family: Holm)."""
    tests: dict[str, Test] = {}
    decisions: dict[str, Decision] = {}
    failures: dict[str, str] = {}
    for item in stated:
        try:
            tests[item.metric] = test = test_of(values[item.metric], item.scale, in_pairs=in_pairs)
            decisions[item.metric] = paired.decide(test, threshold_of(item))
        except NoEffect as error:
            failures[item.metric] = str(error)
    # A metric that says nothing still counts as one of the family: leaving it out would make the others' bar lower.
    worse = paired.holm({item.metric: _p(decisions, item.metric, "worse") for item in stated})
    better = paired.holm({item.metric: _p(decisions, item.metric, "better") for item in stated})
    found = []
    for item in stated:
        line = effect_of(item.metric, values[item.metric], scale=item.scale, in_pairs=in_pairs, alpha=alpha)
        whole = {**line.model_dump(), "threshold": item.threshold, "threshold_text": item.text}
        if item.metric in failures:
            sentence = f"nothing can be said: {failures[item.metric]}"
            found.append(Primary(**whole, verdict="inconclusive", sentence=sentence))
            continue
        test, decision = tests[item.metric], decisions[item.metric]
        complete = all(row.baseline is not None and row.candidate is not None for row in values[item.metric])
        verdict = _verdict(decision, worse[item.metric], better[item.metric], alpha, complete=complete or not in_pairs)
        share = alpha / len(stated)
        found.append(
            Primary(
                **whole,
                p_regress=decision.worse,
                p_regress_holm=worse[item.metric],
                p_pass=decision.within,
                p_improve=decision.better,
                p_improve_holm=better[item.metric],
                mde=paired.minimum_detectable(test, threshold_of(item), share, POWER),
                mde_power=POWER,
                verdict=verdict,
                sentence=_sentence(line, item, test, verdict, share, complete=complete or not in_pairs),
            )
        )
    return found


def threshold_of(item: PrimaryMetric) -> Threshold:
    """A stated threshold with the metric's direction."""
    direction = metrics.resolve(item.metric).metric.direction
    assert direction != "none"
    return Threshold(item.threshold, item.scale, direction)


def findings(pairs: Sequence[Pair]) -> Findings:
    """Expectations that failed, and deaths: of which arm alone, and whether that can be chance (exact sign test)."""
    only = {"baseline": 0, "candidate": 0}
    both, examples = 0, []
    for pair in (pair for pair in pairs if pair.valid):
        failed = [arm for arm, side in pair.sides.items() if side.verdict.verdict == "failed"]
        if len(failed) == 2:
            both += 1
        elif failed:
            only[failed[0]] += 1
            why = "; ".join(pair.sides[failed[0]].verdict.reasons[:1])
            examples.append(f"{failed[0]} of pair {pair.number} failed: {why}")
    alone = sum(only.values())
    p = float(stats.binom.sf(only["candidate"] - 1, alone, 0.5)) if alone else None
    return Findings(
        baseline=only["baseline"], candidate=only["candidate"], both=both, p=p, examples=examples[:_EXAMPLES]
    )


def overall(lines: Sequence[Primary], found: Findings, alpha: float, doubts: Sequence[str]) -> GateVerdict:
    """The verdict of the gate at one look. `doubts` are reasons why it cannot pass whatever the metrics say."""
    if any(line.verdict == "regress" for line in lines) or (found.p is not None and found.p <= alpha):
        return "regress"
    if doubts or found.candidate > found.baseline or any(line.verdict == "inconclusive" for line in lines):
        return "inconclusive"
    return "improve" if any(line.verdict == "improve" for line in lines) else "pass"


def _p(decisions: Mapping[str, Decision], metric: str, which: str) -> float:
    decision = decisions.get(metric)
    return 1.0 if decision is None else float(getattr(decision, which))


def _verdict(decision: Decision, worse: float, better: float, alpha: float, *, complete: bool) -> GateVerdict:
    if worse <= alpha:
        return "regress"
    if not complete:
        return "inconclusive"
    if better <= alpha:
        return "improve"
    return "pass" if decision.within <= alpha else "inconclusive"


def _sentence(
    line: Effect, item: PrimaryMetric, test: Test, verdict: GateVerdict, share: float, *, complete: bool
) -> str:
    """The verdict of one metric in words, with what would have to be done where there is none."""
    shown = text_of(line, line.effect)
    span = "" if line.low is None else f" ({text_of(line, line.low)} to {text_of(line, line.high)})"
    if verdict == "regress":
        return f"{shown}{span}: worse by more than {item.text}"
    if verdict == "improve":
        return f"{shown}{span}: better by more than {item.text}"
    if verdict == "pass":
        return f"{shown}{span}: not worse by {item.text}"
    if not complete:
        return f"{shown}{span}: some runs have no such value, so nothing is passed"
    if test.least_alpha > share:
        return f"{shown}: {test.n} pairs cannot decide, at least {least_pairs(share)} are needed"
    needed = paired.pairs_needed(test, threshold_of(item), share, POWER)
    hint = (
        f"about {needed} pairs of this noise would decide" if needed and needed <= 10 * test.n else "too close to tell"
    )
    return f"{shown}{span}: the interval holds {item.text}; {hint}"


def text_of(line: Effect, effect: float | None) -> str:
    """An effect with its sign, as people read it: `+3.1 %` or `+12 KiB`."""
    if effect is None:
        return "–"
    if line.scale == "relative":
        return f"{effect:+.1%}".replace("%", " %")
    dimension = metrics.resolve(line.metric).metric.dimension
    return f"{'+' if effect >= 0 else '-'}{format_value(abs(effect), dimension)}"
