"""`run.json` and `verdict.json` as types. Their JSON Schemas in `record/schemas/` are generated from here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from harness.record.savable import SavableModel

VerdictName = Literal["passed", "failed", "inconclusive", "invalid", "error", "interrupted"]
SOUND: tuple[VerdictName, ...] = ("passed", "failed", "inconclusive")
"""Verdicts of runs that are valid measurements; what they were expected to show is another matter."""
PhaseAction = Literal[
    "start",
    "idle",
    "create",
    "flip",
    "delete",
    "patch",
    "read",
    "list",
    "churn",
    "watch",
    "pause",
    "settle",
    "settled",
    "end",
    "restart",
    "failover",
    "hook",
    "observe",
    "point",
    "trim",
]
OnBusy = Literal["invalid", "bounds", "warn"]
"""What becomes of a run whose machine was too busy to judge times: `bounds` spares it where all that is expected of times
are upper bounds, and they held."""
LOAD_ACTIONS: tuple[PhaseAction, ...] = ("create", "flip", "delete", "patch", "read", "list", "churn", "watch")
"""Phases in which the load generator sends requests."""

SeriesKind = Literal["capacity", "sweep"]
"""Experiments that are a series of runs, each with a key of its own."""

_Count = Annotated[int, Field(ge=0)]
_Nanoseconds = Annotated[int, Field(description="nanoseconds since the run's origin, monotonic")]


class _Model(SavableModel, BaseModel):
    pass


class Owner(_Model):
    """The harness process that writes the record; a `running` record whose owner is gone was interrupted."""

    pid: int
    started_ticks: int = Field(description="start time of the process in clock ticks since boot (/proc/PID/stat)")
    boot_id: str


class ScenarioFacts(_Model):
    """Which scenario ran, and what it resolved to after profile, arm and --set."""

    name: str
    path: str
    sha256: str
    arm: str | None = None
    sets: dict[str, str] = {}
    resolved: dict[str, Any]


class SubjectFacts(_Model):
    """The controller under test."""

    kind: Literal["command", "process", "pod"] = Field(description="process: somebody else had started it")
    pid: int | None = Field(default=None, description="of a process that somebody else had started")
    command: list[str] = Field(description="as started, secrets redacted")
    controller: str | None = None
    options: dict[str, Any] = {}
    environment: dict[str, str] = Field(
        default={},
        description="what changes memory or speed: GOMEMLIMIT, PYTHONMALLOC …; and what --subject-env said, secrets redacted",
    )
    runtime: Literal["python", "go", "other"] | None = None
    runtime_version: str | None = None
    memory_limit_bytes: int | None = None
    cpu_limit: float | None = Field(default=None, description="CPUs that it may use")
    replicas: int = Field(default=1, description="how many of it ran at once, each with limits of its own")
    lease: str | None = Field(
        default=None, description="namespace/name of the Lease by which replicas elect their leader"
    )
    webhooks: list[str] = Field(default=[], description="admission webhooks of it that the API server called")
    cgroup_version: Literal[1, 2] | None = None
    image: str | None = Field(default=None, description="of a subject in a pod")
    pod: dict[str, Any] = Field(
        default={}, description="of a subject in a pod: namespace, name, node, image id, whether its cgroup was seen"
    )
    user: str


class Source(_Model):
    """Which commit was tested: of the subject, or of the working tree that it was started from."""

    commit: str
    committed_at: datetime | None = Field(default=None, description="null where the commit is not in the working tree")
    dirty: bool | None = Field(default=None, description="tracked files differed from the commit; null: not known")


class Machine(_Model):
    """Where the run was measured. Runs compare only where the fingerprints are equal."""

    cpu_model: str
    cpus: int
    memory_bytes: int
    kernel: str
    os: str
    arch: str
    fingerprint: str


class Pinning(_Model):
    """CPUs that subject and load generator were kept on; null: any, and `reason` says why."""

    subject: list[int] | None = None
    load: list[int] | None = None
    reason: str | None = None


class CollectorFacts(_Model):
    """One collector of the run, and why it could not witness where it could not."""

    name: str
    state: Literal["on", "failed"]
    reason: str | None = None
    heavy: bool = False


class Phase(_Model):
    """One stretch of the timeline. Load phases carry counts and rates; `requested_per_s` null is `rate: max`."""

    name: str
    action: PhaseAction
    kind: str | None = None
    started_ns: _Nanoseconds
    ended_ns: _Nanoseconds | None = None
    requested: _Count | None = None
    done: _Count | None = None
    failed: _Count | None = None
    schedule: str | None = Field(default=None, description="of a rate that changes: how, in words")
    requested_per_s: float | None = Field(
        default=None, description="where the rate changes, the average of its schedule"
    )
    achieved_per_s: float | None = None
    until_failure: bool = Field(default=False, description="it looked for the highest rate that can be kept")
    sustained_per_s: float | None = Field(default=None, description="of until_failure: the highest rate that was kept")
    failed_at_per_s: float | None = Field(default=None, description="of until_failure: the rate that was not kept")
    failure: str | None = Field(
        default=None, description="of a restart, failover or hook: why it failed; the run is then invalid"
    )
    settled: bool | None = Field(default=None, description="of a settle phase: quiet came before its timeout")


class ExpectedObjects(_Model):
    """What must exist because of the load, computed from the scenario."""

    kind: str
    count: _Count


class EndingFacts(_Model):
    """How the subject ended, with the evidence."""

    kind: Literal["oom_limit", "oom_node", "thrashing", "crash", "our_signal", "clean", "gone"]
    exit_code: int | None = Field(description="null where only the parent of the process knows")
    t_ns: _Nanoseconds
    sentence: str
    evidence: dict[str, Any] = {}


class Outcome(_Model):
    """How the run itself went: `completed` also when the subject died; `error` when it broke down.

    `invalid`: what the scenario brings along was refused by the cluster, so that nothing could be measured.
    """

    state: Literal["completed", "error", "invalid", "interrupted"]
    message: str | None = None
    exit_code: int = 0


class Downsampled(_Model):
    """How the samples of a long run were made fewer, after its results were computed from all of them."""

    interval_s: int = Field(
        description="of each series, in every interval of a phase: the first, lowest, highest and last sample"
    )
    samples_before: int
    samples_after: int | None = Field(default=None, description="null where that was cut short: then all are there")


class Run(_Model):
    """`run.json`: facts only."""

    schema_: Literal["harness.run/v1"] = Field(default="harness.run/v1", alias="schema")
    run_id: str
    experiment_id: str | None = None
    state: Literal["running", "sealed"]
    owner: Owner
    started_at: datetime
    ended_at: datetime | None = None
    scenario: ScenarioFacts
    seed: int
    profile: str | None = None
    namespace: str
    cluster: dict[str, Any] = {}
    subject: SubjectFacts
    source: Source | None = Field(default=None, description="null where the subject comes from no known commit")
    machine: Machine
    pinning: Pinning | None = Field(default=None, description="null in records of versions that did not pin")
    versions: dict[str, str]
    observed: bool = Field(
        default=False, description="somebody else loaded the subject: of the scenario's load nothing was sent"
    )
    load_workers: int = Field(default=1, description="processes that shared the load, under a master from 2 on")
    on_busy: OnBusy = Field(
        default="invalid",
        description="what a machine too busy to judge times makes of it: `invalid`, that unless all bounds held, or a warning",
    )
    collectors: list[CollectorFacts] = []
    phases: list[Phase] = []
    expected: list[ExpectedObjects] = []
    ending: EndingFacts | None = Field(default=None, description="how the subject ended before the harness stopped it")
    outcome: Outcome | None = None
    downsampled: Downsampled | None = Field(
        default=None, description="null: all samples are there (docs/record.md, Long runs)"
    )

    def phase(self, name: str) -> Phase | None:
        """The phase of that name."""
        return next((phase for phase in self.phases if phase.name == name), None)


class Result(_Model):
    """One metric of the catalogue. A null value always has a reason."""

    value: float | None
    unit: str
    reason: str | None = None
    detail: str | None = Field(default=None, description="what the value consists of, in words")


class ExpectationResult(_Model):
    """One line of `expect`: `ok` null means that it could not be judged, and `note` says why."""

    expr: str
    value: float | None
    ok: bool | None
    counts: bool = Field(default=True, description="false where an OOM kill cut the result short")
    note: str | None = None


class Verdict(_Model):
    """`verdict.json`: derived from the record, can be made again by `harness report RUN --recompute`."""

    schema_: Literal["harness.verdict/v1"] = Field(default="harness.verdict/v1", alias="schema")
    run_id: str
    verdict: VerdictName
    exit_code: int
    results: dict[str, Result]
    expectations: list[ExpectationResult]
    reasons: list[str]
    warnings: list[str] = []


class Show(Run):
    """`harness show RUN --json`: the fields of run.json with those of verdict.json beside them."""

    schema_: Literal["harness.show/v1"] = Field(default="harness.show/v1", alias="schema")  # type: ignore[assignment] # a schema of its own
    path: str
    verdict: VerdictName
    exit_code: int
    results: dict[str, Result] = {}
    expectations: list[ExpectationResult] = []
    reasons: list[str] = []
    warnings: list[str] = []


class ExperimentRun(_Model):
    """One run of an experiment, in the order of execution."""

    run_id: str
    arm: str | None
    order: int
    verdict: VerdictName
    exit_code: int
    pair: int | None = Field(
        default=None, description="number of the pair it belongs to, from 1; null where there are none"
    )
    seed: int | None = Field(default=None, description="its seed; the same in both runs of a pair")


class ExperimentArm(_Model):
    """One side of a paired experiment: the subject that was put in place of the scenario's."""

    spec: str = Field(description="as the user wrote it, secrets redacted")
    kind: Literal["scenario", "options", "command", "git", "image", "stored"]
    words: str = Field(description="what it is, for people")
    sets: dict[str, str] = Field(default={}, description="values set over the scenario's")
    command: str | None = Field(default=None, description="command that replaces the scenario's, secrets redacted")
    revision: str | None = Field(default=None, description="of a git subject: the full commit id")
    build: str | None = Field(
        default=None, description="of a git subject: the command it was built with, secrets redacted"
    )
    image: str | None = Field(default=None, description="of an image subject: its reference")
    image_id: str | None = Field(
        default=None, description="what the reference meant to this machine's Docker; null where it has no such image"
    )


class Experiment(_Model):
    """`experiments/ID/experiment.json`: the runs that belong together."""

    schema_: Literal["harness.experiment/v1"] = Field(default="harness.experiment/v1", alias="schema")
    experiment_id: str
    scenario: str
    started_at: datetime
    runs: list[ExperimentRun]
    exit_code: int
    kind: Literal["arms", "gate", "compare", "self-test", "capacity", "sweep", "claims"] = Field(
        default="arms",
        description="arms: one run each; capacity, sweep: a series of runs; the others measure two arms in pairs",
    )
    state: Literal["running", "complete", "interrupted"] = Field(
        default="complete", description="running with a dead owner reads as interrupted"
    )
    owner: Owner | None = None
    ended_at: datetime | None = None
    profile: str | None = None
    seed: int | None = Field(default=None, description="seeds of the pairs and the order in them are drawn from it")
    pairs: int | None = Field(default=None, description="pairs that were planned")
    arms: dict[str, ExperimentArm] = Field(default={}, description="baseline and candidate of a paired experiment")
    asked: dict[str, Any] | None = Field(
        default=None, description="of a gate or series: what it was asked, to take it up again; secrets redacted"
    )
    message: str | None = Field(default=None, description="why it ended before its end")
