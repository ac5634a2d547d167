"""`gate:` of a scenario: which results decide whether a candidate is worse than a baseline, and by how much is too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from harness.core import metrics
from harness.core.units import parse
from harness.scenario.expectation import canonical, quantity
from harness.scenario.fields import Model, fault
from harness.scenario.hints import shown

DEFAULT_PAIRS = 12
MAX_PAIRS = 100
MAX_PRIMARY = 2
"""More would each need more pairs to decide (Holm), and something would always be found."""
_LARGEST_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class PrimaryMetric:
    """A result that decides, and the practical threshold stated beforehand."""

    metric: str
    threshold: float
    """A share of the baseline (0.03) where `scale` is relative, else in the metric's base unit; above 0."""
    scale: Literal["relative", "absolute"]
    text: str
    """The threshold as it was written."""


def parse_primary(metric: str, text: object) -> PrimaryMetric:
    """Raises ValueError for an unknown metric, one of which neither way is better, or a threshold that is none."""
    found = metrics.resolve(metric)
    if found.metric.direction == "none":
        raise ValueError(f"{metric} cannot decide: neither more nor less of it is better")
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        wanted = f"3% or {_example(found.metric.unit)}"
        raise ValueError(f"expected a threshold such as {wanted}, got {shown(text)}")  # noqa: TRY004 # of the file
    written = str(text).strip()
    if written.endswith("%"):
        value = parse(written, "ratio")
        if not 0 < value <= _LARGEST_SHARE:
            raise ValueError(f"{shown(text)} is not between 0% and {_LARGEST_SHARE:.0%}")
        return PrimaryMetric(canonical(found), value, "relative", written)
    value = quantity(text, found.metric.dimension)
    if value <= 0:
        raise ValueError(f"{shown(text)} is not above 0; write a share such as 3%, or {_example(found.metric.unit)}")
    return PrimaryMetric(canonical(found), value, "absolute", written)


def _example(unit: str) -> str:
    return {"B": "500KB", "s": "50ms", "1/s": "10/s", "ratio": "0.05"}.get(unit, "10")


def _primary(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        raise fault("expected metrics with their thresholds, as {memory.heap.settled: 3%}, got " + shown(value))
    if len(value) > MAX_PRIMARY:
        raise fault(f"{len(value)} metrics; at most {MAX_PRIMARY} may decide, all others are reported beside them")
    found: dict[str, str] = {}
    for name, text in value.items():
        try:
            primary = parse_primary(str(name), text)
        except ValueError as error:
            raise fault(str(error), key=str(name)) from None
        if primary.metric in found:
            raise fault(f"{primary.metric} stands twice; remove one", key=str(name))
        found[primary.metric] = primary.text
    return found


_THRESHOLDS: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": MAX_PRIMARY,
    "additionalProperties": {"type": ["string", "number"]},
    "examples": [{"memory.heap.settled": "3%", "latency.flip.p99": "50ms"}],
}


class Gate(Model):
    """How a candidate is compared with a baseline. See docs/gate.md."""

    primary: Annotated[dict[str, str], PlainValidator(_primary), WithJsonSchema(_THRESHOLDS)] = Field(
        description="the metrics that decide, each with the worsening that is too much: a share, or in its unit"
    )
    pairs: Annotated[int, Field(ge=2, le=MAX_PAIRS)] = Field(
        default=DEFAULT_PAIRS, description="pairs of runs, one of each arm"
    )

    @property
    def metrics(self) -> list[PrimaryMetric]:
        """The primary metrics, parsed."""
        return [parse_primary(name, text) for name, text in self.primary.items()]
