"""The scenario of one run, every value filled in.

The shape is that of the file, so the same types make the file's JSON Schema and read a scenario back from a run record
(`Scenario.model_validate(record)`): what analysis recomputes a year later is what ran. All models are strict and frozen.
Rules that need more than one part of the scenario are in `checks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from harness.core import kinds, metrics
from harness.core.kinds import Kind
from harness.scenario.agents import Agents
from harness.scenario.controllers import serves_webhooks
from harness.scenario.expectation import Expectation, canonical, quantity, render
from harness.scenario.fields import (
    CollectorName,
    EnvName,
    Expect,
    Memory,
    Model,
    Option,
    Param,
    ParamName,
    Seconds,
    Slug,
    Text,
    Url,
    fault,
)
from harness.scenario.gating import Gate
from harness.scenario.hints import shown
from harness.scenario.profiling import Profiling
from harness.scenario.server import ApiServer
from harness.scenario.steps import Create, Failover, Flip, Hook, Probe, Restart, Settle, Step, Until
from harness.scenario.subject_parts import GoEnvironment, LeaseReady, Ready, Webhooks

__all__ = [
    "ApiServer",
    "Create",
    "Engaged",
    "Expectation",
    "Failover",
    "Flip",
    "GoEnvironment",
    "Hook",
    "Probe",
    "Ready",
    "Restart",
    "Scenario",
    "Settle",
    "Setup",
    "Step",
    "Subject",
    "Until",
    "Webhooks",
]

COLLECTORS: tuple[CollectorName, ...] = ("memory", "oom", "tasks", "metrics", "audit", "latency", "host")
"""Witnesses that `collect` may name; memray and pyroscope have keys of their own, for they change how a subject starts."""

Memray = Literal["off", "launch", "attach"]
Pyroscope = Literal["off", "on"]
RestartPolicy = Literal["Never", "Always"]


class Subject(Model):
    """The controller under test: one of the reference controllers, a command, or a process that runs already."""

    controller: Text | None = Field(default=None, description="a reference controller, by name")
    options: dict[ParamName, Option] = Field(default={}, description="switches of the reference controller")
    command: list[Text] | None = Field(default=None, min_length=1, description="any controller, as a command line")
    image: Text | None = Field(default=None, description="any controller, as an image: it runs in a pod of the cluster")
    args: list[Text] = Field(default=[], description="arguments of the image's own entrypoint")
    restart_policy: RestartPolicy = Field(
        default="Never", description="of its pod: Never ends the run with its death, Always lets the kubelet restart it"
    )
    pid: Annotated[int, Field(ge=2, le=2**22)] | None = Field(
        default=None, description="a process that somebody else has started, and goes on with afterwards"
    )
    metrics: Url | None = Field(default=None, description="where it serves Prometheus metrics")
    pprof: Url | None = Field(default=None, description="where it serves Go's pprof")
    ready: Ready | None = None
    env: dict[EnvName, str] = Field(default={}, description="environment variables added to the command's")
    memory_limit: Memory | None = Field(default=None, description="limit of its memory cgroup; none without it")
    cpu_limit: Annotated[float, Field(ge=0.01, le=1024)] | None = Field(
        default=None, description="CPUs that it may use, such as 0.5; no limit without it"
    )
    go: GoEnvironment | None = Field(default=None, description="the environment of Go's runtime")
    replicas: Literal[1, 2] = Field(default=1, description="how many of it run at once, of which one is leader")
    lease: LeaseReady | None = Field(
        default=None, description="the Lease by which a command's replicas elect their leader"
    )
    webhooks: Webhooks | None = Field(default=None, description="admission webhooks that a command serves")
    log_limit: Memory = Field(
        default=64 * 2**20, description="disk that its log may take; then the oldest lines are dropped",
        json_schema_extra={"default": "64Mi"},
    )  # fmt: skip
    ready_timeout: Seconds = Field(
        default=60.0, description="how long it may take to become ready", json_schema_extra={"default": "1m"}
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.go is not None:
            for name in self.go.environment(2**30):
                if name in self.env:
                    raise fault(f"{name} is given both in env and by subject.go; remove one", key="env")
            if self.go.memlimit == "auto" and self.memory_limit is None:
                raise fault("go.memlimit: auto is a share of memory_limit, and there is none; set it", key="go")
        if self.ready is not None and self.ready.metric is not None and self.metrics is None:
            raise fault("ready.metric is read from the subject's metrics; say where they are: metrics", key="ready")
        if self.controller is not None and self.webhooks is not None and not serves_webhooks(self.controller):
            raise fault(f"the reference controller {self.controller} serves no webhooks; remove it", key="webhooks")
        return self

    @model_validator(mode="after")
    def _replicas_elect(self) -> Self:
        if self.replicas == 1:
            if self.lease is not None and self.controller is None:
                raise fault("lease is that of replicas; set replicas to 2", key="lease")
            return self
        if self.command is not None and self.lease is None:
            raise fault("replicas need leader election; say which Lease: lease: {name: NAME}", key="replicas")
        if self.webhooks is not None:
            raise fault("admission webhooks are called at one address, not at two replicas; remove one", key="webhooks")
        if self.options.get("leader-elect") in (False, "false"):
            raise fault("two replicas without leader election would both reconcile; remove leader-elect", key="options")
        return self

    @model_validator(mode="after")
    def _only_measured(self) -> Self:
        if self.pid is None:
            return self
        for key in ("controller", "command"):
            if getattr(self, key) is not None:
                raise fault(f"a subject is a process that runs already, or a {key}, not both; remove one", key="pid")
        for key in sorted(self.model_fields_set - {"pid", "metrics", "pprof"}):
            raise fault(f"{key} is for who starts the process, and pid names one that runs already; remove it", key=key)
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if self.pid is not None:
            return self
        if self.controller is None and self.command is None and self.image is None:
            raise fault("a subject needs a controller or a command; write controller: fleet, or command: [./manager]")
        if self.args and (self.image is None or self.command is not None):
            raise fault("args are those of an image's own entrypoint; put them into the command", key="args")
        if self.controller is None:
            if self.options:
                raise fault("options are those of a reference controller; put yours into the command", key="options")
            return self
        if self.command is not None:
            raise fault("a subject is a controller or a command, not both; remove one", key="command")
        if self.image is not None:
            raise fault("the reference controllers have an image of their own; remove it", key="image")
        for key in ("metrics", "pprof", "ready", "lease"):
            if getattr(self, key) is not None:
                raise fault(f"{key} is known for the reference controllers; remove it", key=key)
        return self

    @field_validator("env")
    @classmethod
    def _own_environment(cls, env: dict[str, str]) -> dict[str, str]:
        for name in env:
            if name == "KUBECONFIG" or name.startswith("HARNESS_"):
                raise fault(f"the harness sets {name} itself; remove it", key=name)
        return env


class Setup(Model):
    """What the harness puts into the cluster before the subject starts."""

    apply: list[Text] = Field(
        min_length=1, max_length=50, description="manifests: files and directories, relative to the scenario's own"
    )


class OwnKind(Model):
    """A kind that one of the scenario's own CRDs defines, as it was read."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    status: bool = False


class Engaged(Model):
    """A sign that the subject did the work: a run counts only if `metric` reached `min`."""

    metric: Text = Field(description="name of a result")
    min: float = Field(description="least value, in the metric's unit")

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        return canonical(metrics.resolve(value))

    @field_validator("min", mode="before", json_schema_input_type=float | str)
    @classmethod
    def _in_its_unit(cls, value: object, info: ValidationInfo) -> float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise fault(f"expected a number, got {shown(value)}")
        # Where the metric itself is wrong, that is the error to report.
        name = info.data.get("metric")
        return 0.0 if name is None else quantity(value, metrics.resolve(name).metric.dimension)

    @field_serializer("min")
    def _dump_min(self, value: float) -> str | float:
        dimension = metrics.resolve(self.metric).metric.dimension
        return value if dimension in ("count", "ratio") else render(value, dimension)


class Body(Model):
    """What the scenario of one run and the file that it comes from have in common."""

    name: Slug = Field(description="of the scenario; that of the file without .yaml for the shipped ones")
    summary: Text = Field(description="one sentence: what the scenario shows")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=1, description="sizes, bytes and choices are drawn from it"
    )
    params: dict[ParamName, Param] = Field(default={}, description="values that `{name}` stands for, with defaults")
    apiserver: ApiServer = Field(default=ApiServer(), description="settings of the embedded API server")
    etcd_quota: Memory | None = Field(
        default=None, description="most bytes that etcd may hold, of a cluster that is the run's own; 8Gi without it"
    )
    setup: Setup | None = Field(default=None, description="what must be in the cluster before the subject starts")
    subject: Subject
    agents: Agents | None = Field(default=None, description="fake agents that answer for the Clusters of the load")
    engaged: list[Engaged] = Field(default=[], description="signs that the subject did the work")
    load: list[Step] = Field(default=[], max_length=50, description="steps of the load, in order")
    collect: list[CollectorName] = Field(default=list(COLLECTORS), description="witnesses of the run")
    expect: list[Expect] = Field(default=[], max_length=100, description="what must hold for the run to pass")
    gate: Gate | None = Field(default=None, description="what `harness gate` compares, and by how much is too much")
    memray: Memray = Field(
        default="off", description="`launch` starts a Python subject under memray, `attach` is for the load only"
    )
    pyroscope: Pyroscope = Field(default="off", description="`on` profiles a Python or Go subject continuously")
    profiling: Profiling = Field(
        default=Profiling(mode="continuous"),
        description="`profile` in a file: `on-demand` profiles in windows only, around phases or opened by triggers",
        json_schema_extra={"default": "continuous"},
    )

    @field_validator("collect")
    @classmethod
    def _once_each(cls, value: list[CollectorName]) -> list[CollectorName]:
        for index, name in enumerate(value):
            if name in value[:index]:
                raise fault(f"collector {name!r} is named twice; remove one", key=str(index))
        return value


MOST_STEPS = 5000
"""Of one run: more than a file may have, for `scenario.cycles` repeats the steps of one."""


class Scenario(Body):
    """One run's scenario: placeholders filled, profile, arm and `--set` applied, empty steps dropped."""

    load: list[Step] = Field(default=[], max_length=MOST_STEPS, description="steps of the load, in order")
    profile: Slug | None = None
    arm: Slug | None = None
    own_kinds: list[OwnKind] = Field(default=[], description="of the CRDs in `setup`")
    setup_files: dict[str, str] = Field(default={}, description="sha256 of each manifest of `setup`")
    templates: dict[str, str] = Field(default={}, description="texts of the load's templates, by their path")

    @property
    def kinds(self) -> list[Kind]:
        """Kinds of its own, beyond `core.kinds.KINDS`."""
        return [Kind(**item.model_dump()) for item in self.own_kinds]

    @model_validator(mode="wrap")
    @classmethod
    def _knows_its_kinds(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        own = data.get("own_kinds") if isinstance(data, dict) else None
        with kinds.knowing(_kinds(own)):
            return handler(data)


def _kinds(value: object) -> Iterator[Kind]:
    """The own kinds in data that is not validated yet; what is malformed is left for the fields to refuse."""
    for item in value if isinstance(value, list) else ():
        yield Kind(**OwnKind.model_validate(item).model_dump())
