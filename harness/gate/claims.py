"""What the pairs of a case say of its claims.

The rules, fixed beforehand: a claim is *reproduced* if the whole interval of our change lies on the claimed side and
reaches the published figure; *not reproduced* if the whole interval falls short of it; where it does neither, the noise
allows both, and it is *not comparable*. A claim of "about so much" is reproduced within a factor of two. Of a kill all valid
pairs must show it. One pair has no interval: it tells a direction.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.core import metrics
from harness.core.units import format_value
from harness.gate.effects import effect_of, pair_values, value_of
from harness.gate.pairing import ARMS, Pair, Side
from harness.gate.published import Case, Stated
from harness.record.claims import Claim, ClaimValue, Direction, Reason
from harness.record.gate import Effect
from harness.record.reader import RunRecord

ALPHA = 0.025
"""One-sided: intervals of 95 % where there are pairs enough, else the highest confidence that so few allow."""
FACTOR = 2.0
"""How far from the published figure "about" may be."""
ALERT = "kserve_memory_alert"
"""The reference controller's own metric."""
_OFF, _ON = ARMS


def incomplete(side: Side, case: Case) -> str | None:
    """Why a run did less than all its work; None where it did all, or was killed and thus judged for that.

    Objects that must exist and signs of work are rules of every run: where they are not met it is `invalid` already.
    """
    if (value_of(side, "oom.kills") or 0) >= 1:
        return None
    for name in case.must_have:
        result = side.results.get(name)
        if result is None or result.value is None:
            return f"{name}: {'not measured' if result is None else result.reason}"
        if name.startswith("completeness.") and result.value != 1:
            return f"{name} is {result.value:g}"
    return None


def judge(
    case: Case, stated: Stated, pairs: Sequence[Pair], *, planned: int, quick: bool, experiment_id: str | None,
    missing: str | None = None, late: str | None = None,
) -> Claim:  # fmt: skip
    """One claim of a case. `missing` says why nothing could be measured, `late` why pairs that were planned are not there."""
    valid, invalid, lacking = _sorted(case, pairs)
    effect = effect_of(stated.metric, pair_values(valid, stated.metric), scale=stated.scale, in_pairs=True, alpha=ALPHA)
    claim = Claim(
        id=f"{case.id}/{'alert' if stated.kind == 'alerted' else stated.metric}", row=case.row,
        headline=case.headline, claim=stated.claim,
        published=stated.published, published_change=stated.change, source=case.source, subject=case.subject,
        scenario=case.scenario, limit=case.sets("off", quick=quick).get("memory_limit", case.limit),
        payload=case.payload, chosen=case.chosen, off=case.sets("off", quick=quick), on=case.sets("on", quick=quick),
        metric=stated.metric, unit=effect.unit, scale=stated.scale,
        values=[ClaimValue(pair=row.pair, off=row.baseline, on=row.candidate) for row in effect.values],
        ours_off=effect.baseline, ours_on=effect.candidate, change=effect.effect, low=effect.low, high=effect.high,
        confidence=effect.confidence, pairs=len(valid), pairs_planned=planned, invalid=invalid,
        verdict="not comparable", sentence="", experiment_id=experiment_id,
    )  # fmt: skip
    if missing is not None:
        return _cannot(claim, "subject missing", missing)
    if late is not None:
        return _cannot(claim, "interrupted", late)
    if not valid:
        return _cannot(claim, "incomplete work" if lacking else "no valid pair", "; ".join(invalid[:2]) or "no pair")
    if stated.kind == "killed":
        return _killed(claim, valid, quick=quick)
    if stated.kind == "alerted":
        return _alerted(claim, valid, quick=quick)
    if effect.effect is None:
        return _cannot(claim, "no value", effect.reason or "no pair has a value on both sides")
    claim.direction = _direction(effect, stated)
    if quick:
        return claim.model_copy(update={"verdict": "direction", "sentence": f"{claim.direction}: {_change(claim)}"})
    if case.other_runtime:
        return _cannot(claim, "other runtime", f"{_change(claim)}, of {case.subject}")
    return _held_against(claim, stated)


def _sorted(case: Case, pairs: Sequence[Pair]) -> tuple[list[Pair], list[str], bool]:
    """The pairs that count, why others do not, and whether one of those did less than its work."""
    valid, invalid, lacking = [], [], False
    for pair in pairs:
        reasons = pair.reasons()
        if not reasons:
            found = {name: incomplete(side, case) for name, side in pair.sides.items()}
            reasons = [f"{_arm(name)}: incomplete: {why}" for name, why in found.items() if why]
            lacking |= bool(reasons)
        else:
            reasons = [reason.replace(f"{name}:", f"{_arm(name)}:", 1) for reason in reasons for name in ARMS
                       if reason.startswith(f"{name}:")]  # fmt: skip
        if reasons:
            invalid += [f"pair {pair.number}, {reason}" for reason in reasons]
        else:
            valid.append(pair)
    return valid, invalid, lacking


def _arm(name: str) -> str:
    return "off" if name == _OFF else "on"


def _killed(claim: Claim, valid: Sequence[Pair], *, quick: bool) -> Claim:
    kills = [tuple(value_of(pair.sides[arm], "oom.kills") or 0 for arm in ARMS) for pair in valid]
    met = sum(off >= 1 and on == 0 for off, on in kills)
    claim.killed_at = [made for pair in valid if (made := _created_by_the_kill(pair.sides[_OFF].record)) is not None]
    claim.direction = "as claimed" if met == len(kills) else "against the claim" if met == 0 else "no change"
    claim.sentence = (
        f"killed without it in {sum(off >= 1 for off, _ in kills)} and with it in {sum(on >= 1 for _, on in kills)} "
        f"of {len(kills)} pair{'s' * (len(kills) > 1)}"
    )
    claim.verdict = "direction" if quick else "reproduced" if met == len(kills) else "not reproduced"
    return claim


def _created_by_the_kill(record: RunRecord) -> int | None:
    """How many objects the step that made most of them had made by then. None: no kill."""
    kill = next(record.events("oom_kill"), None)
    if kill is None:
        return None
    made = "SELECT count(*) FROM requests WHERE verb = 'create' AND error IS NULL AND done_ns <= ? GROUP BY phase"
    return max((int(count) for (count,) in record.sql(made, [kill["t_ns"]])), default=0)


def _alerted(claim: Claim, valid: Sequence[Pair], *, quick: bool) -> Claim:
    margins = [margin for pair in valid if (margin := _warned_s(pair.sides[_OFF].record)) is not None]
    killed = sum((value_of(pair.sides[_OFF], "oom.kills") or 0) >= 1 for pair in valid)
    if not killed:
        return _cannot(claim, "no value", "nothing was killed")
    met = sum(margin > 0 for margin in margins)
    claim.direction = "as claimed" if met == killed else "against the claim"
    early = f", {min(margins):.1f} s and more before it" if met == killed else ""
    claim.sentence = f"an alert came before {met} of {killed} kill{'s' * (killed > 1)}{early}"
    claim.verdict = "direction" if quick else "reproduced" if met == killed else "not reproduced"
    return claim


def _warned_s(record: RunRecord) -> float | None:
    """From the first alert to the kill, in s; 0 for none, or one that was there before the load. None: no kill."""
    kill = next(record.events("oom_kill"), None)
    if kill is None:
        return None
    before = "SELECT min(t_ns) FILTER (value = 1), max(value) FILTER (phase = 'idle') FROM samples WHERE metric = ?"
    rows = record.sql(before, [ALERT])
    alerted, idle = rows[0] if rows else (None, None)
    return 0.0 if alerted is None or idle else max(0.0, (kill["t_ns"] - alerted) / 1e9)


def _held_against(claim: Claim, stated: Stated) -> Claim:
    low, high = claim.low, claim.high
    if low is None or high is None:
        return _cannot(claim, "noise", f"{claim.pairs} valid pair(s) have no interval; {_change(claim)}")
    if stated.kind == "about":
        assert stated.change is not None
        nearest, farthest = stated.change / FACTOR, stated.change * FACTOR
        inside, outside = nearest <= low and high <= farthest, high < nearest or low > farthest
    else:
        published = stated.change or 0.0
        inside = high < 0 and low <= published
        outside = low > published if stated.change is not None else low >= 0
    if inside:
        return claim.model_copy(update={"verdict": "reproduced", "sentence": _change(claim)})
    if outside:
        return claim.model_copy(update={"verdict": "not reproduced", "sentence": _change(claim)})
    return _cannot(claim, "noise", f"the interval allows the claim and its opposite: {_change(claim)}")


def _direction(effect: Effect, stated: Stated) -> Direction:
    assert effect.effect is not None
    if effect.effect == 0:
        return "no change"
    wanted = 1 if (stated.change or -1) > 0 else -1
    return "as claimed" if effect.effect * wanted > 0 else "against the claim"


def _cannot(claim: Claim, reason: Reason, sentence: str) -> Claim:
    return claim.model_copy(update={"verdict": "not comparable", "reason": reason, "sentence": sentence})


def _change(claim: Claim) -> str:
    parts = [text_of(claim, claim.change)]
    if claim.low is not None and claim.high is not None:
        parts.append(f"({text_of(claim, claim.low)} to {text_of(claim, claim.high)}, {claim.confidence:.0%})")
    return " ".join(parts)


def text_of(claim: Claim, value: float | None) -> str:
    """A change as people read it, with its sign."""
    if value is None:
        return "–"
    if claim.scale == "relative":
        return f"{value:+.1%}"
    dimension = metrics.resolve(claim.metric).metric.dimension
    return f"{'+' if value >= 0 else '-'}{format_value(abs(value), dimension)}"
