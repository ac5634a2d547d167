"""Compares two sides metric by metric: interleaved pairs, two groups of runs, or a run with a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core import metrics
from harness.core.errors import UsageError
from harness.gate import blame_sites
from harness.gate.effects import effect_of, group_values, pair_values
from harness.gate.environment import differences
from harness.gate.pairing import Pair, Side
from harness.record.comparison import ComparedMetric, ComparedSide, Comparison
from harness.record.gate import Blamed, PairValue

ALPHA = 0.025
"""On each side of an interval: 95 %, where there are enough repeats for it."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One side: what it is called, and its runs."""

    name: str
    words: str
    sides: Sequence[Side]


def compare(
    a: Compared, b: Compared, pairs: Sequence[Pair] | None, *, across_machines: bool, experiment_id: str | None = None
) -> Comparison:
    """B against A. `pairs`: the runs are those of an interleaved experiment.

    Raises UsageError where the sides come from different machines and nobody said that this is wanted.
    """
    prints = [sorted({side.record.run.machine.fingerprint for side in each.sides}) for each in (a, b)]
    across = len({*prints[0], *prints[1]}) > 1
    if across and not across_machines:
        raise UsageError(
            f"measured on different machines ({', '.join(prints[0])} and {', '.join(prints[1])}): their figures do not compare",
            remedy="measure both on one machine, or say --across-machines",
        )
    used = [_sound(each) for each in (a, b)]
    repeats: Literal["pairs", "groups", "none"] = "pairs" if pairs is not None else "groups"
    if pairs is None and min(len(sides) for sides in used) < 2:
        repeats = "none"
    names = _names([*used[0], *used[1]])
    found = []
    for name in names:
        rows: list[PairValue] = pair_values(pairs, name) if pairs is not None else group_values(used[0], used[1], name)
        line = effect_of(name, rows, scale=None, in_pairs=pairs is not None, alpha=ALPHA)
        found.append(ComparedMetric(**line.model_dump(), across_machines=across))
    return Comparison(
        a=_facts(a, used[0], prints[0]),
        b=_facts(b, used[1], prints[1]),
        repeats=repeats,
        across_machines=across,
        experiment_id=experiment_id,
        differences=differences([s.record.run for s in used[0]], [s.record.run for s in used[1]]),
        warnings=_warnings(a, b, used),
        metrics=found,
        sites=_sites(used, pairs),
    )


def _sites(used: Sequence[Sequence[Side]], pairs: Sequence[Pair] | None) -> list[Blamed]:
    """The allocation sites that grew, where runs keep memory profiles."""
    if pairs is None:
        return blame_sites.grown_between(*([side.record for side in each] for each in used))
    ordered = sorted(blame_sites.grown(pairs), key=lambda item: -item[0])
    return [each.model_copy(update={"rank": number}) for number, (_, each) in enumerate(ordered, 1)]


def _sound(side: Compared) -> list[Side]:
    """The runs that are measurements; where there are none, all of them, which a warning then says."""
    return [each for each in side.sides if each.sound] or list(side.sides)


def _facts(side: Compared, used: Sequence[Side], prints: list[str]) -> ComparedSide:
    ids = [each.record.run.run_id for each in used]
    left = [
        f"{each.record.run.run_id}: {each.verdict.verdict}: {'; '.join(each.verdict.reasons[:1])}"
        for each in side.sides
        if each.record.run.run_id not in ids
    ]
    return ComparedSide(name=side.name, words=side.words, runs=ids, left_out=left, fingerprints=prints)


def _warnings(a: Compared, b: Compared, used: Sequence[Sequence[Side]]) -> list[str]:
    warnings = []
    for side, runs in zip((a, b), used, strict=True):
        if runs and not any(each.sound for each in runs):
            why = "; ".join(runs[0].verdict.reasons[:1]) or "no reason was given"
            warnings.append(
                f"{side.name} is {runs[0].verdict.verdict} ({why}): its figures say little about the subject"
            )
    scenarios = [{each.record.run.scenario.name for each in runs} for runs in used]
    if scenarios[0] != scenarios[1]:
        names = [", ".join(sorted(each)) for each in scenarios]
        warnings.append(f"different scenarios ({names[0]} and {names[1]}): the work was not the same")
    return warnings


def _names(sides: Sequence[Side]) -> list[str]:
    order = {metric.name: index for index, metric in enumerate(metrics.CATALOGUE)}
    found = {name for side in sides for name in side.results}
    return sorted(found, key=lambda name: (order[metrics.resolve(name).metric.name], name))
