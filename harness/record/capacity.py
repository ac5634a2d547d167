"""What `harness capacity` found, as types. Its JSON Schema is generated from here. Sizes are bytes."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TrialOutcome = Literal["survived", "killed", "thrashing", "invalid"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Interval(_Model):
    """A value with its 95 % interval; an end is null where there is none."""

    value: float
    low: float | None
    high: float | None


class LadderRun(_Model):
    """One run with a number of objects under a limit that is far away."""

    run_id: str
    count: int
    size_factor: float = Field(default=1.0, description="payloads as a multiple of the scenario's own")
    valid: bool
    reason: str | None = Field(default=None, description="why it is no measurement")
    bytes_per_object: float | None = Field(default=None, description="body of the create request, as sent")
    idle: float | None = Field(
        default=None, description="charged to the cgroup before the load; as all of these without page cache"
    )
    growth_peak: float | None = Field(
        default=None, description="highest charge while it grew into that many, by the kernel"
    )
    growth_settled: float | None = None
    cold_peak: float | None = Field(default=None, description="highest charge after a restart with that many present")
    cold_settled: float | None = None
    outside_go: float | None = Field(
        default=None, description="of a Go subject: charge that Go's runtime, and so GOMEMLIMIT, does not know of"
    )
    go_live: float | None = Field(default=None, description="of a Go subject: live heap after a collection, settled")


class MemoryFit(_Model):
    """One of the four memories as a function of the count, of objects of the scenario's own size."""

    memory: Literal["growth_peak", "growth_settled", "cold_peak", "cold_settled"]
    runs: int
    base: Interval | None = None
    per_object: Interval | None = None
    per_byte: Interval | None = Field(default=None, description="null where all objects had one size")
    noise: float | None = Field(default=None, description="standard deviation of a run about the line")
    lowest: float | None = Field(default=None, description="counts measured, from")
    highest: float | None = None
    straight: Literal["straight", "bent", "undecided"] | None = None
    bend: Interval | None = Field(default=None, description="of a parabola, as a share of the growth")
    p: float | None = Field(default=None, description="of no bend at all; straightness does not depend on it")
    sentence: str


class Trial(_Model):
    """One run under the real limit."""

    run_id: str
    count: int
    outcome: TrialOutcome
    reason: str | None = None
    peak: float | None = Field(default=None, description="highest charge, by the kernel")


class Boundary(_Model):
    """Where it dies under the real limit."""

    what: Literal["growth", "cold"] = Field(description="growing into that many, or restarted with that many present")
    limit_bytes: int
    predicted: Interval | None = Field(description="count at which the fitted peak reaches the limit")
    refused: str | None = Field(default=None, description="why nothing was predicted")
    trials: list[Trial]
    survived: int = 0
    killed: int = 0
    thrashing: int = 0
    invalid: int = 0
    half: Interval | None = Field(default=None, description="count at which half of the runs die")
    kept: Interval | None = Field(default=None, description="highest count at which at most 1 % of the runs die")
    width: float | None = Field(default=None, description="of the transition, as a share of the 50 % point")
    overlap: bool | None = Field(default=None, description="whether some lived with more objects than others died with")
    error: float | None = Field(default=None, description="(predicted - measured) / measured, of the 50 % point")
    within_goal: bool | None = None
    reason: str | None = Field(default=None, description="why there is no 50 % point")


class Need(_Model):
    """What a count needs."""

    what: Literal["growth", "cold"]
    count: int
    peak: Interval | None = None
    limit_bytes: int | None = Field(
        default=None, description="99 of 100 runs stay below it, by the fit; whole MiB, rounded up"
    )
    refused: str | None = None


class GoLimit(_Model):
    """What to set GOMEMLIMIT to."""

    value: int | None
    limit_bytes: int | None
    sentence: str


class Capacity(_Model):
    """`experiments/ID/capacity.json`."""

    schema_: Literal["harness.capacity/v1"] = Field(default="harness.capacity/v1", alias="schema")
    experiment_id: str
    scenario: str
    profile: str | None = None
    parameter: str = Field(description="the scenario's parameter that is varied")
    kind: str = Field(description="of the objects that it counts")
    started_at: datetime
    ended_at: datetime | None = None
    machine: str
    limit_bytes: int | None = Field(default=None, description="as asked; null: only a count was")
    count: int | None = Field(default=None, description="as asked; null: only a limit was")
    loose_limit_bytes: int = Field(description="of the runs of the ladder")
    ladder: list[LadderRun]
    fits: list[MemoryFit]
    bytes_per_object: float | None = Field(
        default=None, description="body of a create request, at the scenario's own size"
    )
    per_object: Interval | None = Field(default=None, description="settled memory per object, grown into")
    amplification: Interval | None = Field(default=None, description="settled memory per object over its bytes as sent")
    payload_amplification: Interval | None = Field(
        default=None, description="settled memory per further byte of an object; null where sizes were not varied"
    )
    boundaries: list[Boundary] = []
    needs: list[Need] = []
    gomemlimit: GoLimit
    sentence: str
    interrupted: bool = False
    exit_code: int
    reasons: list[str] = Field(default=[], description="why the exit code is not 0")
    warnings: list[str] = []
