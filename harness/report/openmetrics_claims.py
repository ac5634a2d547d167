"""What `harness claims` found as OpenMetrics text: changes with their verdicts, and the curves, for the dashboards."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest

from harness.record.claims import Claims
from harness.report.families import JOB, Family
from harness.report.openmetrics import INSTANCE

CHANGE = Family("harness_claim_change", "Change that a published claim is about: with the optimisation against without it",
                "gauge", ("row", "claim", "metric", "scale", "verdict", "profile"))  # fmt: skip
CURVE = Family("harness_claim_curve", "A point of a curve of the published cases; what is varied is in the label x", "gauge",
               ("row", "curve", "line", "x", "metric", "unit", "profile"))  # fmt: skip


def render(claims: Claims) -> str:
    """All claims that have a change and all points that have a value, at the time at which they were written."""
    text: bytes = generate_latest(_Families(claims))  # type: ignore[no-untyped-call] # asks for `collect` only
    return text.decode()


class _Families:
    """What prometheus_client asks for metrics."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._at = (claims.ended_at or claims.started_at).timestamp()
        self._own = {"job": JOB, "instance": INSTANCE, "profile": claims.profile}

    def collect(self, *_: object) -> Iterator[Metric]:
        """Changes, then curves."""
        changes = Metric(CHANGE.name, CHANGE.meaning, CHANGE.type)
        for each in self._claims.claims:
            labels = {
                "row": str(each.row),
                "claim": each.id,
                "metric": each.metric,
                "scale": each.scale,
                "verdict": each.verdict,
            }
            if each.change is not None:
                changes.add_sample(CHANGE.name, self._own | labels, each.change, self._at)
        yield changes
        points = Metric(CURVE.name, CURVE.meaning, CURVE.type)
        for curve in self._claims.curves:
            for line in curve.lines:
                for x, value in {point.x: point.value for point in line.points if point.value is not None}.items():
                    labels = {"row": str(curve.row), "curve": curve.id, "line": line.name, "x": f"{x:g}",
                              "metric": curve.metric, "unit": curve.unit}  # fmt: skip
                    points.add_sample(CURVE.name, self._own | labels, value, self._at)
        yield points
