"""The history as OpenMetrics text: one point for each run and gate, at its time, for the dashboard of nights.

No label names a run or a commit: a series is what compares (scenario, arm, machine ...), however many nights there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest

from harness.record.history_models import SERIES_KEY, HistoryDocument, HistorySeries
from harness.report.families import JOB, Family
from harness.report.openmetrics import INSTANCE

_LONGEST = 200
"""Characters of a label's value."""

VALUE = Family("harness_history_value", "A metric of a run, or the effect that a gate found on it", "gauge",
               (*SERIES_KEY, "metric", "unit"))  # fmt: skip
CHANGE = Family("harness_history_change_ratio", "Change of level of a metric against the level before, at its first run", "gauge",
                (*SERIES_KEY, "metric", "judged"))  # fmt: skip
VERDICT = Family("harness_history_verdict", "1 for each run and gate", "gauge", (*SERIES_KEY, "verdict"))


def render(documents: Iterable[HistoryDocument]) -> str:
    """The history of several metrics (`analysis.history.document` of each, and of None for the verdicts), ending in `# EOF`."""
    text: bytes = generate_latest(_Families(list(documents)))  # type: ignore[no-untyped-call] # asks for `collect` only
    return text.decode()


class _Families:
    """What prometheus_client asks for metrics."""

    def __init__(self, documents: Sequence[HistoryDocument]) -> None:
        self._documents = documents

    def collect(self, *_: object) -> Iterator[Metric]:
        """One family after the other, each series in the order of time."""
        values, changes, verdicts = (_Points(kind) for kind in (VALUE, CHANGE, VERDICT))
        for document in self._documents:
            for series in document.series:
                for point in series.points:
                    at = point.at.timestamp()
                    if document.metric is None:
                        verdicts.add(series, (point.verdict,), 1, at)
                    elif point.value is not None and point.counts:
                        values.add(series, (document.metric, series.unit or ""), point.value, at)
                for change in series.changes:
                    if document.metric is not None and change.relative is not None:
                        named = (document.metric, change.judged)
                        changes.add(series, named, change.relative, change.at.timestamp())
        yield from (each.family() for each in (values, changes, verdicts))


class _Points:
    """Points of one family. Of several of one series in one millisecond the last is kept, as Prometheus does."""

    def __init__(self, kind: Family) -> None:
        self._kind = kind
        self._found: dict[tuple[str, ...], dict[float, float]] = {}

    def add(self, series: HistorySeries, more: tuple[str, ...], value: float, at: float) -> None:
        labels = (*(str(getattr(series, name) or "")[:_LONGEST] for name in SERIES_KEY), *more)
        self._found.setdefault(labels, {})[round(at, 3)] = value

    def family(self) -> Metric:
        family = Metric(self._kind.name, self._kind.meaning, self._kind.type)
        for labels, points in self._found.items():
            named = {"job": JOB, "instance": INSTANCE} | dict(zip(self._kind.labels, labels, strict=True))
            for at, value in sorted(points.items()):
                family.add_sample(self._kind.name, named, value, at)
        return family
