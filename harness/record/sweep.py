"""What `harness sweep` found, as types. Its JSON Schema is generated from here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.record.capacity import Interval


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class SweepRun(_Model):
    """One run with one combination of values."""

    run_id: str
    values: dict[str, str] = Field(description="what was varied, as it was written")
    valid: bool
    reason: str | None = Field(default=None, description="why it is no measurement")
    figures: dict[str, float | None] = Field(
        default={}, description="throughput (reconciles per second of work) and results by their names in the catalogue"
    )


class SweepCell(_Model):
    """One combination of values over its valid runs."""

    values: dict[str, str]
    runs: int = Field(description="valid ones")
    left_out: list[str] = Field(default=[], description="runs that are no measurements, and why")
    figures: dict[str, float | None] = Field(default={}, description="means over the runs that have a value")


class SweepKnee(_Model):
    """From which value of a parameter on nothing more is gained."""

    parameter: str
    at: dict[str, str] = Field(default={}, description="the values of the other parameters")
    knee: Interval | None = None
    top: float | None = Field(default=None, description="what is reached there")
    sentence: str


class Sweep(_Model):
    """`experiments/ID/sweep.json`."""

    schema_: Literal["harness.sweep/v1"] = Field(default="harness.sweep/v1", alias="schema")
    experiment_id: str
    scenario: str
    profile: str | None = None
    started_at: datetime
    ended_at: datetime | None = None
    machine: str
    vary: dict[str, list[str]] = Field(description="parameters and their values, in the order asked for")
    repeats: int
    by: str = Field(description="throughput, or the result that decides")
    unit: str
    runs: list[SweepRun]
    cells: list[SweepCell]
    knees: list[SweepKnee]
    memory_per_task: Interval | None = Field(
        default=None,
        description="bytes of peak memory per task, over all runs; null where tasks did not vary or are not told",
    )
    tolerance: float | None = Field(default=None, description="share of the best that counts as the same")
    recommended: dict[str, str] | None = None
    reasons: list[str] = Field(default=[], description="why that is recommended, or why nothing is")
    interrupted: bool = False
    exit_code: int
    warnings: list[str] = []
