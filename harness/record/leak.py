"""`leak.json` as types: what a run of cycles says of what does not come back. Its JSON Schema is generated from here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

LeakVerdict = Literal["leak", "clear", "inconclusive", "invalid", "error", "interrupted"]
Behaviour = Literal["steady", "filled", "grows", "unclear", "unknown"]
Finding_ = Literal["leak", "cache", "fragmentation", "page_cache", "outside_heap", "kernel", "unclear"]

FILE = "leak.json"
PAGE = "leak.html"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class LeakSeries(_Model):
    """One quantity at rest after each cycle. Slopes and bounds are per cycle, in the unit of the quantity."""

    name: str
    title: str
    unit: Literal["B", "count"]
    decides: bool = Field(description="whether it decides the verdict by itself")
    points: list[float | None] = Field(description="at rest before the first cycle, then after each")
    behaviour: Behaviour
    sentence: str
    bound: float = Field(description="growth below it counts as none: it was stated beforehand")
    slope: float | None = Field(default=None, description="Theil-Sen, without the warm-up")
    low: float | None = Field(default=None, description="one-sided 99 % bound; null: none")
    high: float | None = Field(default=None, description="one-sided 95 % bound; null: none")
    per_object: float | None = Field(default=None, description="slope for each object of a cycle")
    p: float | None = Field(default=None, description="one-sided Mann-Kendall, that there is no increase")
    threshold: float | None = Field(
        default=None, description="growth per cycle that such a run finds in 95 of 100 cases; null: none"
    )
    rose: float | None = Field(default=None, description="from before the first cycle to after the last")
    names: dict[str, float] = Field(default={}, description="what grew, by name: coroutine, metric family, sort")


class LeakSite(_Model):
    """One place of code that allocated what was still held after the cycles in which allocations were followed."""

    site: str
    package: str
    bytes_per_object: float
    allocations_per_object: float
    repeated: bool = Field(description="whether it left something for at least every second object: a buffer does not")
    callers: list[str] = Field(default=[], description="from the place outwards")


class LeakFinding(_Model):
    """One thing that was found, in a sentence."""

    sort: Finding_
    series: str
    sentence: str


class Trim(_Model):
    """What giving free memory back to the system brought, after the last cycle."""

    rss_before: float | None = None
    rss_after: float | None = None
    reason: str | None = Field(default=None, description="why it could not be done")


class Leak(_Model):
    """The result of one run."""

    schema_: Literal["harness.leak/v1"] = Field(default="harness.leak/v1", alias="schema")
    run_id: str
    scenario: str
    verdict: LeakVerdict
    exit_code: int
    headline: str
    cycles: int = Field(description="that were completed and measured")
    objects: int = Field(description="created and deleted in each")
    warm_up: int = Field(description="cycles at the beginning that no trend is taken from")
    findings: list[LeakFinding] = []
    series: list[LeakSeries] = []
    sites: list[LeakSite] = []
    sites_reason: str | None = Field(default=None, description="why no sites are named")
    trim: Trim | None = None
    reasons: list[str] = Field(default=[], description="why it is invalid, or what weakens it")
    notes: list[str] = Field(default=[], description="what of the scenario's load was left out")
