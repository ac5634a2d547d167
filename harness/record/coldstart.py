"""`coldstart.json` as types: what it costs to start with everything there. Its JSON Schema is generated from here."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

FILE = "coldstart.json"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class MemoryUse(_Model):
    """One account of memory, bytes."""

    peak: float | None = Field(default=None, description="highest sample from the start until it was at rest")
    settled: float | None = Field(default=None, description="at rest after a collection")
    ratio: float | None = Field(default=None, description="peak against settled")


class ColdStart(_Model):
    """Growing into N, a restart with N present, or a relist storm: the API server killed under the running subject."""

    sort: Literal["growth", "restart", "storm"]
    number: int
    ready_s: float | None = Field(
        default=None, description="restart: until ready; storm: how long the API server was away"
    )
    first_object_s: float | None = Field(
        default=None, description="until the first list with objects of the load was answered"
    )
    synced_s: float | None = Field(default=None, description="until its last list was answered")
    settled_s: float | None = Field(default=None, description="until nothing moved any more, the quiet included")
    rss: MemoryUse = MemoryUse()
    anon: MemoryUse = MemoryUse()
    cgroup: MemoryUse = MemoryUse()
    lists: dict[str, int] = Field(default={}, description="list requests of the subject, by kind")
    listed_bytes: dict[str, float] = Field(
        default={},
        description="bytes of all answers to lists by resource, as the API server counts them, of all clients",
    )
    subject_cpu_s: float | None = None
    apiserver_cpu_s: float | None = None
    apiserver_rss_peak: float | None = None
    apiserver_inflight: float | None = Field(default=None, description="most reading requests at once")
    apiserver_list_p99_s: float | None = Field(default=None, description="upper border of the server's own histogram")


class Coldstarts(_Model):
    """The result of one run."""

    schema_: Literal["harness.coldstart/v1"] = Field(default="harness.coldstart/v1", alias="schema")
    run_id: str
    scenario: str
    verdict: str = Field(description="of the run: passed where everything was measured")
    exit_code: int
    headline: str
    objects: int = Field(description="there at each start")
    starts: list[ColdStart] = []
    reasons: list[str] = []
    notes: list[str] = Field(default=[], description="what of the scenario's load was left out")
