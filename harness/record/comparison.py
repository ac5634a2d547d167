"""What a comparison of two runs, experiments or subjects says, as types. Its JSON Schema is generated from here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from harness.record.gate import Blamed, Difference, Effect
from harness.record.savable import SavableModel


class _Model(SavableModel, BaseModel):
    pass


class ComparedSide(_Model):
    """One of the two."""

    name: str = Field(description="as it was asked for, secrets redacted")
    words: str
    runs: list[str] = Field(description="ids of the runs whose figures are used")
    left_out: list[str] = Field(default=[], description="runs that are no sound measurements, and why")
    fingerprints: list[str]


class ComparedMetric(Effect):
    """One metric of both sides."""

    across_machines: bool = Field(default=False, description="the sides were measured on different machines")


class Comparison(_Model):
    """`harness compare A B --json`: B against A. It informs and decides nothing; `harness gate` does."""

    schema_: Literal["harness.compare/v1"] = Field(default="harness.compare/v1", alias="schema")
    a: ComparedSide
    b: ComparedSide
    repeats: Literal["pairs", "groups", "none"] = Field(
        description="pairs: interleaved; groups: several runs that have nothing to do with one another; none: one run each"
    )
    across_machines: bool
    experiment_id: str | None = Field(default=None, description="of the runs that were made for this comparison")
    differences: list[Difference] = Field(description="of the environments, in what is no result")
    warnings: list[str] = []
    metrics: list[ComparedMetric]
    sites: list[Blamed] = Field(
        default=[],
        description="allocation sites that hold more in B, of runs that keep memory profiles; of repeats more than noise",
    )
