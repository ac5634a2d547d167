"""`harness history --json` as types. Its JSON Schema in `record/schemas/` is generated from here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class HistoryPoint(_Model):
    """One run or gate of a series."""

    id: str
    at: datetime
    verdict: str
    commit: str | None = None
    committed_at: datetime | None = None
    dirty: bool | None = None
    value: float | None = Field(
        default=None, description="of the metric; of a gate its effect, candidate against baseline"
    )
    low: float | None = Field(default=None, description="of a gate: lower end of the effect's interval")
    high: float | None = None
    reason: str | None = Field(default=None, description="why there is no value")
    counts: bool = Field(description="false where the run was invalid, broke down or was interrupted")
    detail: str | None = Field(default=None, description="of a gate: baseline and candidate in words")


class HistoryChange(_Model):
    """A level that changed between two neighbouring commits. Advisory: it informs, no exit code depends on it."""

    commit: str | None = Field(description="the first with the new level; null where runs know no commit")
    commit_before: str | None
    id: str = Field(description="the first run with the new level")
    at: datetime
    before: float = Field(description="median since the change before, or the beginning")
    after: float = Field(description="median until the next change, or the end")
    relative: float | None = Field(description="(after - before) / |before|; null where before is 0")
    judged: Literal["better", "worse", "different"]
    runs_before: int
    runs_after: int
    p: float = Field(description="of a permutation test: share of random orders with as clear a change anywhere")
    also: list[str] = Field(
        default=[], description="what else changed there: the load, the harness, working-tree changes"
    )


SERIES_KEY = ("kind", "scenario", "arm", "profile", "sets", "subject", "machine", "cluster", "profilers")
"""What the runs or gates of one series have in common: fields of `HistorySeries`."""


class HistorySeries(_Model):
    """Runs or gates that compare: one scenario, arm, profile, `--set`, subject, machine, kind of cluster and profilers."""

    kind: Literal["run", "gate"]
    scenario: str
    arm: str | None = None
    profile: str | None = None
    sets: str | None = None
    subject: str | None = None
    machine: str | None = None
    cpu_model: str | None = None
    cluster: str | None = None
    profilers: str | None = None
    unit: str | None = None
    direction: Literal["lower", "higher", "none"] = "none"
    points: list[HistoryPoint] = Field(description="in order of the commits, of one commit in order of time")
    changes: list[HistoryChange] = []


class HistoryDocument(_Model):
    """What the history holds of one metric, or, where `metric` is null, of which runs and gates."""

    schema_: Literal["harness.history/v1"] = Field(default="harness.history/v1", alias="schema")
    store: str
    metric: str | None
    since: datetime | None = None
    series: list[HistorySeries]
    warnings: list[str] = Field(default=[], description="parts of the store that could not be read")
