"""What a night of gates found, as types (`night.json`). Its JSON Schema in `record/schemas/` is generated from here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from harness.record.savable import SavableModel

NightVerdict = Literal["pass", "improve", "regress", "inconclusive", "error", "skipped"]


class _Model(SavableModel, BaseModel):
    pass


class NightGate(_Model):
    """One scenario of the night."""

    scenario: str
    verdict: NightVerdict = Field(
        description="error: there is no result; skipped: this commit was judged good in an earlier night"
    )
    exit_code: int = Field(description="of this gate, acknowledgements and the policy for nights considered")
    baseline: str | None = Field(default=None, description="commit that was held against; null where none was found")
    baseline_why: str = ""
    experiment_id: str | None = None
    seconds: float = 0.0
    longest_run_s: float | None = Field(default=None, description="the longest of its runs")
    message: str = Field(default="", description="what was found, in a line")
    alert: str | None = None
    blame: list[str] = []


class Night(_Model):
    """`night.json`: every gate of one call of `harness nightly`."""

    schema_: Literal["harness.night/v1"] = Field(default="harness.night/v1", alias="schema")
    started_at: datetime
    ended_at: datetime
    candidate: str = Field(description="commit that was judged")
    profile: str
    cluster: str
    budget_s: float
    gates: list[NightGate]
    warnings: list[str] = []
    exit_code: int
