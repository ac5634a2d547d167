"""`harness profile --json` and `harness profile diff --json` as types. Their JSON Schemas are generated from here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Estimate(_Model):
    """Means over the captures of each side, in bytes or counts, and the 95 % interval of the difference."""

    before: float
    after: float
    difference: float
    low: float | None = Field(description="null where a side has one capture")
    high: float | None
    certain: bool | None = Field(description="whether the interval leaves out 0; null without one")


class Place(_Model):
    """One place of code and what it held."""

    name: str
    package: str
    function: str
    file: str
    line: int
    bytes: Estimate
    allocations: Estimate
    share: float | None = Field(description="of all that grew; null where it did not grow")
    callers: list[str] = Field(description="of the stack that grew most here: from the place outwards")


class ProfileDiff(_Model):
    """Two sets of memory profiles compared. Places are sorted: what grew most comes first."""

    schema_: Literal["harness.profile-diff/v1"] = Field(default="harness.profile-diff/v1", alias="schema")
    kind: Literal["memray", "go-heap"]
    moment: str
    before: list[str]
    after: list[str]
    interval: str | None = Field(description="why differences have no interval; null where they have")
    bytes: Estimate
    allocations: Estimate
    site: list[Place]
    function: list[Place]
    file: list[Place]
    package: list[Place]


class Profiled(_Model):
    """A process that memray was attached to. Sites are those of the event `memray` of a record."""

    schema_: Literal["harness.profile/v1"] = Field(default="harness.profile/v1", alias="schema")
    pid: int
    folder: str
    how: str = Field(description="how the process was entered")
    stopped_s: float = Field(description="how long one of its threads was stopped")
    attached_s: float = Field(description="how long attaching took, with all checks")
    tracked_s: float
    main: str | None = Field(description="where its main thread was, just after")
    ended: bool = Field(description="the process ended meanwhile")
    warnings: list[str]
    capture: str
    capture_bytes: int
    stacks: str
    peak_bytes: int
    top: list[dict[str, Any]]
    left_bytes: int
    left: list[dict[str, Any]]
    flamegraph: str | None = None
    flamegraph_at_kill: str | None = None


class ProfiledGo(_Model):
    """The Go subject of a run, profiled by hand through its pprof."""

    schema_: Literal["harness.profile-go/v1"] = Field(default="harness.profile-go/v1", alias="schema")
    run_id: str
    url: str
    folder: str
    seconds: float
    files: list[str] = Field(description="below the folder: heap and goroutines at both ends, CPU in between")
    problems: list[str] = Field(default=[], description="what could not be taken")
