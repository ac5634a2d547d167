"""Pairs of synthetic runs for tests of the gate. Nothing here was measured."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core import metrics
from harness.gate.pairing import Pair, Side
from harness.record.gate import ArmName
from harness.record.models import Result, Run, Verdict, VerdictName
from harness.record.reader import RunRecord
from tests import records


class Bare(RunRecord):
    """A fake of a record: facts without a file, and empty tables."""

    def __init__(self, run_id: str) -> None:
        super().__init__(Path(run_id))
        self.__dict__["run"] = _facts().model_copy(update={"run_id": run_id})

    def sql(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """No rows."""
        return []

    def events(self, type_: str | None = None) -> Iterator[dict[str, Any]]:
        """No events."""
        return iter(())


@functools.cache
def _facts() -> Run:
    with tempfile.TemporaryDirectory() as directory:
        return records.RecordBuilder(Path(directory) / "run").write().run


def side(
    directory: Path,
    run_id: str,
    results: Mapping[str, float | None],
    *,
    verdict: VerdictName = "passed",
    reasons: Sequence[str] = (),
    samples: Sequence[tuple[str, str, float, Mapping[str, str]]] = (),
    **facts: Any,
) -> Side:
    """A run with these results; `samples` are (source, metric, value, labels) at its end."""
    opened: RunRecord
    if samples or facts:
        record = records.RecordBuilder(directory / run_id, run_id=run_id, arm="baseline")
        for source, metric, value, labels in samples:
            record.samples(source, metric, [(30.0, value)], labels)
        opened = record.write(**facts)
    else:
        opened = Bare(run_id)
    found = Verdict(
        run_id=run_id,
        verdict=verdict,
        exit_code=0,
        results={
            name: Result(value=value, unit=metrics.resolve(name).metric.unit, reason=None if value is not None else "never")
            for name, value in results.items()
        },
        expectations=[],
        reasons=list(reasons),
    )  # fmt: skip
    return Side(opened, found)


def pair(number: int, baseline: Side | None, candidate: Side | None) -> Pair:
    """A pair, candidate first in every second one."""
    order: tuple[ArmName, ArmName] = ("baseline", "candidate") if number % 2 else ("candidate", "baseline")
    given: dict[ArmName, Side | None] = {"baseline": baseline, "candidate": candidate}
    return Pair(number, 100 + number, order, {arm: each for arm, each in given.items() if each is not None})


def pairs(
    directory: Path, baseline: Sequence[Mapping[str, float | None]], candidate: Sequence[Mapping[str, float | None]]
) -> list[Pair]:
    """Valid pairs with these results."""
    return [
        pair(
            number,
            side(directory, f"20261122-0900{number:02d}-bbbbb", before),
            side(directory, f"20261122-0900{number:02d}-ccccc", after),
        )
        for number, (before, after) in enumerate(zip(baseline, candidate, strict=True), 1)
    ]
