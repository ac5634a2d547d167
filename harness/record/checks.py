"""What a CI system is told of runs and gates: checks in suites. Its JSON Schema in `record/schemas/` is generated from here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from harness.record.savable import SavableModel

CheckState = Literal["passed", "failed", "unclear", "acknowledged", "not judged"]


class _Model(SavableModel, BaseModel):
    pass


class Check(_Model):
    """One thing that was to hold."""

    name: str = Field(description="an expectation, a primary metric of a gate, or `verdict` for the whole")
    metric: str | None = None
    state: CheckState = Field(
        description="unclear: invalid, inconclusive or broken down, which is never a pass; "
        "acknowledged: it failed, and acks.yaml says that this is known"
    )
    message: str = Field(default="", description="one line")
    details: list[str] = []


class CheckSuite(_Model):
    """One run or one gate."""

    id: str
    kind: Literal["run", "gate"]
    scenario: str
    title: str
    started_at: datetime
    seconds: float | None = Field(default=None, description="how long it took; null where it did not end")
    verdict: str
    exit_code: int = Field(description="of this one, acknowledgements considered")
    checks: list[Check]
    warnings: list[str] = []
    table: list[list[str]] = Field(default=[], description="figures for people; the first row is the head")
    blame: list[str] = Field(default=[], description="of a regression: what grew, ranked")
    facts: dict[str, str] = Field(default={}, description="where and of what: machine, commit, versions")


class Checks(_Model):
    """All suites of one command, as `--checks FILE` writes them."""

    schema_: Literal["harness.checks/v1"] = Field(default="harness.checks/v1", alias="schema")
    exit_code: int = Field(description="the worst of the suites; what the command exits with")
    suites: list[CheckSuite]
    warnings: list[str] = Field(default=[], description="about acknowledgements, and nights without a conclusion")
    alert: str | None = Field(default=None, description="the night policy's alert")
