"""`claims.json` as types: what others have published, what was measured of it here, and what that says.

Changes are on against off and signed as measured: -0.3 is 30 % less. Its JSON Schema is generated from here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.record.capacity import Interval
from harness.record.gate import Scale
from harness.record.models import Owner

ClaimVerdict = Literal["reproduced", "not reproduced", "not comparable", "direction"]
Direction = Literal["as claimed", "against the claim", "no change"]
Reason = Literal[
    "no valid pair", "incomplete work", "no value", "noise", "other runtime", "subject missing", "interrupted",
]  # fmt: skip
"""Why a claim cannot be compared; there are no others."""
Profile = Literal["quick", "full"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class ClaimValue(_Model):
    """One valid pair."""

    pair: int
    off: float | None
    on: float | None


class Claim(_Model):
    """One published claim. Limit and payload were chosen before anything was measured; `chosen` says why."""

    id: str
    row: int = Field(description="of the table of published cases")
    headline: bool = Field(description="false: one switch alone")
    claim: str = Field(description="what was published, in a sentence")
    published: str = Field(description="the published figure, in words")
    published_change: float | None = Field(
        description="the same as a change: a share, or an amount in the metric's unit; null: a direction only"
    )
    source: str
    subject: str
    scenario: str
    limit: str = Field(description="memory limit of the subject")
    payload: str
    chosen: str = Field(description="why this limit and payload, written before measuring")
    off: dict[str, str] = Field(description="values set for the arm without the optimisation")
    on: dict[str, str]
    metric: str
    unit: str
    scale: Scale
    values: list[ClaimValue] = []
    ours_off: float | None = None
    ours_on: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = Field(default=None, description="of the interval from low to high; null for one pair")
    pairs: int = Field(default=0, description="valid pairs")
    pairs_planned: int
    invalid: list[str] = Field(default=[], description="why pairs are not valid")
    verdict: ClaimVerdict
    killed_at: list[int] = Field(
        default=[],
        description="objects that the load had created when runs of `off` were killed, of the step that made most",
    )
    direction: Direction | None = None
    reason: Reason | None = Field(default=None, description="of `not comparable`")
    sentence: str
    experiment_id: str | None = None


class CurvePoint(_Model):
    """One run. A null value has a reason."""

    x: float
    value: float | None
    run_id: str | None = None
    reason: str | None = None
    peak: float | None = Field(
        default=None, description="of a curve of memory: the highest charge of the same run, in B"
    )


class Slope(_Model):
    """What each further one takes, by least squares."""

    each: Interval | None = Field(description="B for each further one of what is varied; null where points are too few")
    base: Interval | None = Field(default=None, description="B without any")
    points: int
    sentence: str = Field(description="whether it is a straight line, or why there is none")


class Prediction(_Model):
    """The count at which a limit kills: by the curve, from peaks far below it, against the runs that were killed."""

    row: int
    curve: str
    line: str
    case: str = Field(description="whose `off` was killed")
    subject: str
    limit_bytes: int
    predicted: Interval | None = Field(default=None, description="count at which the fitted peak reaches the limit")
    refused: str | None = Field(default=None, description="why nothing is predicted")
    killed_at: list[int] = Field(default=[], description="counts at the kills")
    real: float | None = Field(default=None, description="their median")
    error: float | None = Field(default=None, description="(predicted - real) / real")
    within_goal: bool | None = Field(default=None, description="10 %")
    sentence: str


class CurveLine(_Model):
    """One access mode, or one setting of the switches."""

    name: str
    points: list[CurvePoint] = []
    slope: Slope | None = Field(default=None, description="of memory: the straight line through the points")


class Curve(_Model):
    """One metric over one quantity; one run for each point."""

    id: str
    row: int
    title: str
    x: str = Field(description="what is varied")
    metric: str
    unit: str
    lines: list[CurveLine] = []


class Claims(_Model):
    """`experiments/claims-PROFILE/claims.json`; while state is `running` or `interrupted` it can be taken up again."""

    schema_: Literal["harness.claims/v1"] = Field(default="harness.claims/v1", alias="schema")
    profile: Profile
    state: Literal["running", "complete", "interrupted"]
    owner: Owner | None = None
    fingerprint: str = Field(description="sha256 over claims, scenarios and controllers; another one begins anew")
    command: str
    started_at: datetime
    ended_at: datetime | None = None
    machine: str | None = None
    rows: list[int]
    experiments: dict[str, str] = Field(default={}, description="by case: the experiment that its pairs are in")
    claims: list[Claim] = []
    curves: list[Curve] = []
    predictions: list[Prediction] = []
    exit_code: int
