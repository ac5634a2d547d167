"""What `harness overhead` found, as types. Its JSON Schema is generated from here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.record.models import Machine

Unit = Literal["B", "s", "ratio"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Spread(_Model):
    """One figure over the pairs: each is a difference or a ratio of the two runs of a pair."""

    unit: Unit
    median: float
    low: float = Field(description="smallest of the pairs")
    high: float = Field(description="largest of the pairs")
    values: list[float]


class Cost(_Model):
    """What one collector, or several together, cost against the runs without them."""

    name: str
    words: str
    against: str = Field(description="the runs it is compared with")
    collectors: list[str]
    pairs: int
    figures: dict[str, Spread]


class GoalResult(_Model):
    """A goal beside what was measured."""

    words: str
    figure: str = Field(description="that it is about")
    bound: float
    at_least: bool = Field(description="the bound is a lower one")
    unit: Unit
    measured: Spread | None = Field(description="null where it was not measured")
    met: bool | None = Field(description="by the median; null where it was not measured")
    clear: bool | None = Field(description="all pairs are on the same side of the bound")


class Overhead(_Model):
    """`harness overhead --json`."""

    schema_: Literal["harness.overhead/v1"] = Field(default="harness.overhead/v1", alias="schema")
    started_at: datetime
    machine: Machine
    work: str
    seed: int
    pairs: int = Field(description="that were asked for")
    runs: int = Field(description="that count")
    problems: list[str] = Field(description="runs that do not count, and why")
    busy: float | None = Field(description="share of the machine's CPU time that other programs and the host took")
    costs: list[Cost]
    goals: list[GoalResult]
