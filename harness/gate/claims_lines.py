"""Straight lines through the curves of memory, and the count at which they say that a limit kills, against the kills.

A point is one run far below any limit. What meets the limit is the highest charge, so the count is predicted from peaks; a
slope is that of the curve's own metric.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from harness.analysis import capacity, regression
from harness.analysis.regression import Estimate, Fit, Observation
from harness.core.units import format_value, parse
from harness.gate import published
from harness.gate.published import Case, CurveSpec
from harness.record.capacity import Interval
from harness.record.claims import Claims, CurveLine, CurvePoint, Prediction, Slope

GOAL = 0.10
"""How far a predicted count may be from the real one, as a share of it."""
MEMORY = "B"


def conclude(document: Claims, specs: Sequence[CurveSpec], cases: Mapping[str, Case]) -> None:
    """Write slopes and predictions of all curves that have points; what is there already is made anew."""
    for curve in document.curves:
        for line in curve.lines if curve.unit == MEMORY else ():
            line.slope = slope(line.points)
    found = {curve.id: curve for curve in document.curves}
    document.predictions = [
        prediction(spec, line, cases[spec.kills[line.name]], document)
        for spec in specs
        if spec.id in found
        for line in found[spec.id].lines
        if line.name in spec.kills
    ]


def cases() -> dict[str, Case]:
    """The published ones, by id."""
    return {case.id: case for case in published.CASES}


def slope(points: Sequence[CurvePoint]) -> Slope:
    """What each further one takes."""
    found = _fit([(point.x, point.value) for point in points])
    number = sum(point.value is not None for point in points)
    if isinstance(found, str):
        return Slope(each=None, points=number, sentence=found)
    return Slope(
        each=_interval(found.each()), base=_interval(found.base()), points=number, sentence=found.straightness.sentence
    )


def prediction(spec: CurveSpec, line: CurveLine, case: Case, document: Claims) -> Prediction:
    """The count at which the case's limit kills: predicted, and real."""
    limit = int(parse(case.sets("off", quick=False).get("memory_limit", case.limit), "bytes"))
    killed_at = sorted(count for c in document.claims if c.id.startswith(f"{case.id}/") for count in c.killed_at)
    said = capacity.predicted(_fit([(point.x, point.peak) for point in line.points]), limit)
    made = Prediction(
        row=spec.row, curve=spec.id, line=line.name, case=case.id, subject=case.subject, limit_bytes=limit,
        predicted=None if isinstance(said, str) else _interval(said), refused=said if isinstance(said, str) else None,
        killed_at=killed_at, real=statistics.median(killed_at) if killed_at else None, sentence="",
    )  # fmt: skip
    if made.predicted is not None and made.real:
        made.error = (made.predicted.value - made.real) / made.real
        made.within_goal = abs(made.error) <= GOAL
    made.sentence = _sentence(made, spec.x)
    return made


def _sentence(made: Prediction, what: str) -> str:
    limit = format_value(made.limit_bytes, "bytes")
    said = f"no count predicted: {made.refused}"
    if made.predicted is not None:
        low, high = (
            f"{edge:,.0f}" if edge is not None else "no bound" for edge in (made.predicted.low, made.predicted.high)
        )
        said = f"predicted {made.predicted.value:,.0f} ({low} to {high})"
    real = "no kill measured"
    if made.real is not None:
        spread = f" ({made.killed_at[0]:,} to {made.killed_at[-1]:,})" if len(made.killed_at) > 1 else ""
        real = f"killed at {made.real:,.0f}{spread} in {len(made.killed_at)} run{'s' * (len(made.killed_at) > 1)}"
    error = (
        "" if made.error is None else f": {made.error:+.1%}, {'within' if made.within_goal else 'beyond'} {GOAL:.0%}"
    )
    return f"{made.subject}, {made.line}, {what} under {limit}: {said}; {real}{error}"


def _fit(points: Sequence[tuple[float, float | None]]) -> Fit | str:
    return regression.fit([Observation(x, 0.0, value) for x, value in points if value is not None], 0.0)


def _interval(estimate: Estimate) -> Interval:
    low, high = (edge if math.isfinite(edge) else None for edge in (estimate.low, estimate.high))
    return Interval(value=estimate.value, low=low, high=high)
