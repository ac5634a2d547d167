"""The conditions of the gate's self-test, and what real pairs of them say of its rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from harness.analysis.rates import Rate, resampled
from harness.analysis.spending import ALPHA, looks
from harness.gate.decide import findings, overall, primaries
from harness.gate.effects import effect_of, pair_values
from harness.gate.pairing import Pair
from harness.record.gate import GateVerdict
from harness.record.selftest import AlarmRate, Condition
from harness.scenario.gating import PrimaryMetric, parse_primary

PAIRS_PER_GATE = 12
DRAWS = 500
"""Gates of twelve pairs that are drawn from the real ones; each is judged as `harness gate` would."""
GOAL = 0.95
"""How often an injected regression must be found."""
ITEMS = 500
BASELINE = "baseline"
SAME = "same"

LOAD = {"items": str(ITEMS), "rate": "100/s", "bytes_per_object": "1KiB", "latency": "500ms"}
"""Parameters of scenario `calibrated`: the least that shows each condition well above the noise of its metric."""
UNTIMED = {"rate": "max", "latency": "0s", "quiet": "1s"}
"""Over these, where no condition is about time: a busy machine then makes a run longer, not invalid, and each run is
shorter by what is waited for nothing. What must still come (every Item Ready) is waited for as before."""


@dataclass(frozen=True, slots=True)
class Injected:
    """A regression of known size, and the primary metric that must show it."""

    name: str
    words: str
    metric: str
    threshold: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def primary(self) -> PrimaryMetric:
        """The metric with its threshold."""
        return parse_primary(self.metric, self.threshold)


# Half a KiB per object, in bytes of the whole heap: half of what the leak leaves behind.
_HALF_A_KIB_EACH = f"{ITEMS * 512}B"
CONDITIONS: tuple[Injected, ...] = (
    Injected("leak", "each object leaks 1 KiB", "memory.heap.settled", _HALF_A_KIB_EACH, {"leak": "1KiB"}),
    Injected("memory", "5 % more memory", "memory.heap.settled", "3%"),  # the ballast is 5 % of what a trial run holds
    Injected("latency", "10 % more latency", "latency.ready.p50", "5%", {"latency_factor": "1.10"}),
    Injected("writes", "one more write per reconcile", "writes.total", "10%", {"extra_writes": "1"}),
    Injected("tasks", "one task in ten never ends", "tasks.settled", "10", {"tasks_left": "1/10"}),
)


def judge_condition(
    name: str, words: str, injected: dict[str, str], pairs: Sequence[Pair], watched: Sequence[Injected], *, seed: int
) -> Condition:
    """One condition from its real pairs; `watched` are the metrics in which an alarm is looked for.

    Each of them is the only primary metric of a gate: the rates are those per primary metric. Of A/A (nothing injected)
    any alarm is false.
    """
    valid = [pair for pair in pairs if pair.valid]
    invalid = [f"pair {pair.number}: {reason}" for pair in pairs for reason in pair.reasons() if not pair.valid]
    rates: list[AlarmRate] = []
    verdicts: dict[str, GateVerdict] = {}
    for item in watched:
        if len(valid) < PAIRS_PER_GATE:
            break
        key = f"{item.metric} {item.threshold}"
        verdicts[key] = verdict_of(valid[:PAIRS_PER_GATE], item.primary)
        alarm = partial(_alarms, primary=item.primary)
        rate = resampled(valid, PAIRS_PER_GATE, alarm, draws=DRAWS, seed=seed)
        rates.append(_rate(item, rate, injected=bool(injected)))
    ok, sentence = _sum_up(rates, len(valid), injected=bool(injected))
    return Condition(
        name=name, words=words, injected=injected, pairs=len(valid), invalid=invalid, verdicts=verdicts, rates=rates,
        effects=[
            effect_of(item.metric, pair_values(pairs, item.metric), scale=item.primary.scale, in_pairs=True)
            for item in watched
        ],
        ok=ok, sentence=sentence,
    )  # fmt: skip


def verdict_of(pairs: Sequence[Pair], primary: PrimaryMetric) -> GateVerdict:
    """What a gate with this one primary metric says of these pairs, looks before the last included."""
    verdict: GateVerdict = "inconclusive"
    for look in looks(len(pairs)):
        seen = pairs[: look.pairs]
        lines = primaries([primary], {primary.metric: pair_values(seen, primary.metric)}, look.alpha)
        verdict = overall(lines, findings(seen), look.alpha, [])
        if verdict != "inconclusive":
            break
    return verdict


def _alarms(pairs: Sequence[Pair], primary: PrimaryMetric) -> bool:
    return verdict_of(pairs, primary) == "regress"


def _rate(item: Injected, rate: Rate, *, injected: bool) -> AlarmRate:
    return AlarmRate(
        metric=item.metric, threshold=item.threshold, injected=injected, share=rate.share, low=rate.low, high=rate.high,
        experiments=rate.experiments, drawn=rate.drawn,
    )  # fmt: skip


def _sum_up(rates: Sequence[AlarmRate], pairs: int, *, injected: bool) -> tuple[bool, str]:
    if not rates:
        return False, f"{pairs} valid pairs are too few for a gate of {PAIRS_PER_GATE}"
    if injected:
        found = rates[0].share
        return found >= GOAL, f"found in {found:.1%} of the gates (goal: at least {GOAL:.0%})"
    loudest = max(rates, key=lambda rate: rate.share)
    allowed = 0.0 if loudest.drawn == 1 else ALPHA
    if loudest.share <= allowed:
        return (
            True,
            f"no metric raised an alarm in more than {loudest.share:.1%} of the gates (goal: at most {ALPHA:.0%})",
        )
    return (
        False,
        f"{loudest.metric} raised a false alarm in {loudest.share:.1%} of the gates (goal: at most {ALPHA:.0%})",
    )
