"""Runs of the shipped scenario `calibrated`, as a user starts them, with the truth that the subject wrote beside."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import RunFault
from harness.record.reader import RunRecord
from tests.running import harness_run

KIND = "Item.calibrated.harness.dev"
_TIMEOUT_S = 300.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what the harness shows of it, its record, and the lines of the truth."""

    shown: Mapping[str, Any]
    record: RunRecord
    truth: Sequence[Mapping[str, Any]]

    def result(self, name: str) -> float:
        """A result; raises RunFault with the reason where it is null."""
        found = self.shown["results"][name]
        if found["value"] is None:
            raise RunFault(f"run {self.shown['run_id']}: {name}: {found.get('reason')}")
        return float(found["value"])

    def last(self, metric: str, labels: str = "{}") -> float:
        """The newest sample of a series; 0 where there is none."""
        query = "SELECT arg_max(value, t_ns) FROM samples WHERE metric = ? AND labels = ?"
        value = self.record.sql(query, [metric, labels])[0][0]
        return float(value or 0.0)

    @property
    def origin_ns(self) -> int:
        """CLOCK_MONOTONIC at which the run's time began."""
        return int(json.loads((self.record.path / "plan.json").read_text())["origin_ns"])

    @property
    def reconciles(self) -> list[Mapping[str, Any]]:
        """The lines of the subject, one per reconcile."""
        return [line for line in self.truth if line["type"] == "reconcile"]


async def run(directory: Path, items: int, *arguments: str, verdict: str = "passed", **options: object) -> Run:
    """Run the scenario with so many Items and these switches of the controller. Raises RunFault for another verdict."""
    directory.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240  # nothing else runs meanwhile
    truth, log = directory / "truth.jsonl", directory / "run.log"
    sets = {f"options.{name}": value for name, value in options.items()} | {"options.truth": truth, "items": items}
    words = [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    shown = await harness_run(
        ["calibrated", *arguments, *words], runs=directory / "runs", log=log, timeout_s=_TIMEOUT_S
    )
    if shown["verdict"] != verdict:
        raise RunFault(f"run {shown['run_id']} ended {shown['verdict']}: {'; '.join(shown['reasons'])}", place=str(log))
    return Run(shown, RunRecord(Path(shown["path"])), [json.loads(line) for line in truth.read_text().splitlines()])
