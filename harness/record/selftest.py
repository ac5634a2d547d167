"""What a self-test of the gate found, as types. Its JSON Schema is generated from here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from harness.record.gate import Effect, GateVerdict
from harness.record.savable import SavableModel


class _Model(SavableModel, BaseModel):
    pass


class AlarmRate(_Model):
    """How often a metric raised an alarm, with the exact binomial interval of the effective number of experiments."""

    metric: str
    threshold: str
    injected: bool = Field(description="whether an alarm is right: it is about what was injected")
    share: float
    low: float = Field(description="95 %, Clopper-Pearson")
    high: float
    experiments: float = Field(description="effective number: experiments of so many pairs without a pair in common")
    drawn: int = Field(description="experiments drawn from the real pairs; they overlap")


class Condition(_Model):
    """One injected regression, or none of it (A/A)."""

    name: str
    words: str
    injected: dict[str, str] = Field(description="options of the calibrated controller; empty for A/A")
    pairs: int = Field(description="real pairs that are valid")
    invalid: list[str] = Field(default=[], description="runs that are not valid measurements, and why")
    verdicts: dict[str, GateVerdict] = Field(
        description="by metric: a gate over the first pairs, as many as a gate has"
    )
    rates: list[AlarmRate]
    effects: list[Effect] = Field(default=[], description="of the metrics that were watched, over all real pairs")
    ok: bool
    sentence: str


class SelfTest(_Model):
    """`experiments/ID/selftest.json`."""

    schema_: Literal["harness.selftest/v1"] = Field(default="harness.selftest/v1", alias="schema")
    experiment_id: str
    profile: Literal["quick", "full"]
    started_at: datetime
    ended_at: datetime | None = None
    pairs_per_gate: int
    pairs_planned: int = Field(description="real pairs of each condition")
    runs: int
    seconds_per_run: float | None = None
    machine: str
    conditions: list[Condition]
    interrupted: bool = False
    ok: bool
    exit_code: int
    reasons: list[str] = []
