"""What grew with a regression: requests, tasks, metrics and, where profiles are there, allocation sites. Ranked.

Blame is about the same pairs as the verdict, and has no error rate of its own: it says where to look first. Something is
blamed only where it grew in nearly all pairs. What it grew by is held against the baseline's total of its kind (all
requests, all tasks, all sites; a metric against itself). Requests, tasks and sites come before metrics: they are what
the subject did, metrics are what came of it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core import metrics
from harness.core.units import Dimension, format_value
from harness.gate import blame_sites
from harness.gate.blame_sites import CONSISTENT, LEAST_SHARE
from harness.gate.pairing import Pair
from harness.record.gate import Blamed, Effect
from harness.record.reader import RunRecord

Kind = Literal["request", "task", "metric"]
MOST = 15
_CHANGED_NOTHING = " (changed nothing)"
_EXPLAINED = 0.8
"""Where so much of a request's growth is requests that changed nothing, that is the finding."""
_ASIDE = ("host.", "overhead.", "load.", "apiserver.")
"""Metrics of the means, not of the subject."""


@dataclass(frozen=True, slots=True)
class Source:
    """One kind of thing that may be to blame: how to count it in one run, by name."""

    kind: Kind
    unit: str
    count: Callable[[RunRecord], Mapping[str, float]]


def rank(pairs: Sequence[Pair], lines: Sequence[Effect], profiled: Sequence[Pair] = ()) -> list[Blamed]:
    """The things that grew, those that explain most first; empty where nothing did.

    `profiled` are pairs that were measured under a profiler after the verdict, and say which allocation sites grew; without
    them the pairs themselves are asked, some of which may keep profiles.
    """
    found: list[tuple[float, Blamed]] = []
    for source in SOURCES:
        found += _grown(source, pairs)
    found += blame_sites.grown(profiled or pairs)
    found += [scored for line in lines if (scored := _metric(line)) is not None]
    found = _without_repeats(found)
    ordered = _one_of_each_family(sorted(found, key=lambda item: (item[1].kind == "metric", -item[0])))[:MOST]
    return [blamed.model_copy(update={"rank": number}) for number, (_, blamed) in enumerate(ordered, 1)]


def requests(record: RunRecord) -> dict[str, float]:
    """The subject's requests in one run by verb and kind, those that changed nothing counted apart as well."""
    rows = record.sql(
        "SELECT metric, labels->>'verb', labels->>'kind', labels->>'subresource', max(value) FROM samples "
        "WHERE source = 'audit' AND metric IN ('writes.total', 'writes.noop', 'writes.conflict', 'api.requests') GROUP BY ALL"
    )
    mark = {"writes.noop": _CHANGED_NOTHING, "writes.conflict": " (refused: conflict)"}
    return {
        f"{verb} {kind}{f'/{subresource}' if subresource else ''}{mark.get(metric, '')}": float(value)
        for metric, verb, kind, subresource, value in rows
    }


def tasks(record: RunRecord) -> dict[str, float]:
    """Tasks by the name of their coroutine when the run was settled; of a series the last value holds."""
    rows = record.sql(
        "SELECT labels->>'coroutine', arg_max(value, t_ns) FROM samples "
        "WHERE metric = 'tasks' AND labels <> '{}' AND phase <> 'end' GROUP BY ALL"
    )
    return {str(name): float(value) for name, value in rows if name}


SOURCES: tuple[Source, ...] = (
    Source("request", "count", requests),
    Source("task", "count", tasks),
)


def _grown(source: Source, pairs: Sequence[Pair]) -> list[tuple[float, Blamed]]:
    counts = [tuple(source.count(pair.sides[arm].record) for arm in ("baseline", "candidate")) for pair in pairs]
    names = {name for before, after in counts for name in (*before, *after)}
    total = statistics.fmean(sum(before.values()) for before, _ in counts) if counts else 0.0
    found = []
    for name in sorted(names):
        steps = [(before.get(name, 0.0), after.get(name, 0.0)) for before, after in counts]
        scored = _blamed(source.kind, name, source.unit, steps, total)
        if scored is not None:
            found.append(scored)
    return found


def _metric(line: Effect) -> tuple[float, Blamed] | None:
    """A metric that became worse: its whole interval lies on the worse side."""
    if line.direction == "none" or line.low is None or line.high is None or line.metric.startswith(_ASIDE):
        return None
    worse = line.low > 0 if line.direction == "lower" else line.high < 0
    steps = [
        (row.baseline, row.candidate) for row in line.values if row.baseline is not None and row.candidate is not None
    ]
    if not worse or not steps:
        return None
    if line.direction == "higher":
        lost = statistics.fmean(before - after for before, after in steps)
        total = abs(statistics.fmean(before for before, _ in steps))
        return None if total == 0 else (lost / total, _line("metric", line.metric, line.unit, steps))
    return _blamed("metric", line.metric, line.unit, steps, statistics.fmean(before for before, _ in steps))


def _blamed(
    kind: Kind, name: str, unit: str, steps: Sequence[tuple[float, float]], total: float
) -> tuple[float, Blamed] | None:
    growth = statistics.fmean(after - before for before, after in steps)
    grown = sum(after > before for before, after in steps)
    # What was not there at all grew without bound; held against 1 of its unit it still has a place in the list.
    score = growth / total if total > 0 else growth
    if growth <= 0 or grown < CONSISTENT * len(steps) or score < LEAST_SHARE:
        return None
    return score, _line(kind, name, unit, steps)


def _line(kind: Kind, name: str, unit: str, steps: Sequence[tuple[float, float]]) -> Blamed:
    before, after = (statistics.fmean(step[side] for step in steps) for side in (0, 1))
    grown = sum(abs(b - a) > 0 and (b > a) == (after > before) for a, b in steps)
    times = f", {after / before:.2g} times" if before > 0 and after >= 1.2 * before else ""
    words = f"{name}: {_text(before, unit)} -> {_text(after, unit)}{times}, in {grown} of {len(steps)} pairs"
    return Blamed(
        rank=0, kind=kind, name=name, unit=unit, baseline=before, candidate=after, growth=after - before,
        pairs_grown=grown, pairs=len(steps), sentence=words,
    )  # fmt: skip


def _without_repeats(found: Sequence[tuple[float, Blamed]]) -> list[tuple[float, Blamed]]:
    """Leave a request out where its growth is told better by its share that changed nothing."""
    noop = {b.name.removesuffix(_CHANGED_NOTHING): b.growth for _, b in found if b.name.endswith(_CHANGED_NOTHING)}
    return [
        (score, item)
        for score, item in found
        if item.kind != "request" or noop.get(item.name, 0.0) < _EXPLAINED * item.growth
    ]


def _one_of_each_family(found: Sequence[tuple[float, Blamed]]) -> list[tuple[float, Blamed]]:
    """Of metrics such as `latency.flip.p50` to `max` only the one that grew most."""
    seen: set[str] = set()
    kept = []
    for score, item in found:
        family = item.name.rpartition(".")[0]
        if item.kind == "metric" and family in seen:
            continue
        seen |= {family} if item.kind == "metric" else set()
        kept.append((score, item))
    return kept


def _text(value: float, unit: str) -> str:
    dimensions: dict[str, Dimension] = {metric.unit: metric.dimension for metric in metrics.CATALOGUE}
    return format_value(value, dimensions.get(unit, "count"))
