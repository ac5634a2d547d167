"""Verdicts of primary metrics, and of the runs' own findings, at one look. The rules are in docs/gate.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scipy import stats

from harness.analysis import paired
from harness.analysis.paired import NoEffect, Threshold
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
    failures: dict[str, str] = {}
    for item in stated:
        try:
            tests[item.metric] = test_of(values[item.metric], item.scale, in_pairs=in_pairs)
        except NoEffect as error:
            failures[item.metric] = str(error)
    asked = {item.metric: (tests[item.metric], threshold_of(item)) for item in stated if item.metric in tests}
    outcomes = paired.family(asked, alpha, silent=len(failures))
    found = []
    for item in stated:
        line = effect_of(item.metric, values[item.metric], scale=item.scale, in_pairs=in_pairs, alpha=alpha)
        whole = {**line.model_dump(), "threshold": item.threshold, "threshold_text": item.text}
        if item.metric in failures:
            sentence = f"nothing can be said: {failures[item.metric]}"
            found.append(Primary(**whole, verdict="inconclusive", sentence=sentence))
            continue
        test, outcome = tests[item.metric], outcomes[item.metric]
        complete = not in_pairs or all(None not in (row.baseline, row.candidate) for row in values[item.metric])
        # Runs without a value may be those in which it was worst: what is left of the others must not pass.
        verdict = outcome.verdict if complete or outcome.verdict == "regress" else "inconclusive"
        share = alpha / len(stated)
        found.append(
            Primary(
                **whole,
                p_regress=outcome.decision.worse,
                p_regress_holm=outcome.worse,
                p_pass=outcome.decision.within,
                p_improve=outcome.decision.better,
                p_improve_holm=outcome.better,
                mde=paired.minimum_detectable(test, threshold_of(item), share, POWER),
                mde_power=POWER,
                verdict=verdict,
                sentence=_sentence(line, item, test, verdict, share, complete=complete),
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
