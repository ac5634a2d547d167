"""The steps of a load: create objects, wait until all is quiet, flip labels; what else there is, is in `traffic`.

In a file a step is a mapping with one action, as `create: {kind: Secret, count: 10}`; a flip has its `probes` beside it.
In Python it is one flat `Create`, `Settle` or `Flip`. Reading flattens, dumping restores the file's form.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from harness.core.kinds import Kind, find
from harness.scenario.fields import (
    Concurrency,
    Condition,
    Count,
    KindName,
    Model,
    ProbeName,
    Seconds,
    fault,
    unknown_key,
)
from harness.scenario.hints import shown, suggest
from harness.scenario.rates import Changing, Pace
from harness.scenario.sizes import AnySize, Size
from harness.scenario.stepform import PACE, PARALLEL, Labels, StepForm
from harness.scenario.traffic import Churn, Delete, List, Patch, Pause, Read, Watch

ACTIONS = ("create", "settle", "flip", "delete", "patch", "read", "list", "churn", "watch", "pause", "parallel")
SECRET, GITREPO, BUNDLE = find("Secret"), find("GitRepo"), find("Bundle")
DEPLOYMENT = find("BundleDeployment")
MANAGEMENT_CLUSTER, FLEET_CLUSTER = find("Cluster.management.cattle.io"), find("Cluster.fleet.cattle.io")
CLUSTERS = (MANAGEMENT_CLUSTER, FLEET_CLUSTER)
CREATABLE = (SECRET, GITREPO, BUNDLE, *CLUSTERS)
EFFECTS = (DEPLOYMENT, FLEET_CLUSTER)
"""Kinds by which the effect of a flip can be seen."""

MOST_PARALLEL = 10
DEFAULT_SIZE = (2000, 5000)
SMALLEST_BUNDLE = 512
"""The content of a Bundle is a manifest; a smaller one would not hold its fixed part."""


class Create(StepForm):
    """Create `count` objects of a kind."""

    action: Literal["create"] = "create"
    kind: KindName
    count: Count = Field(description="how many; 0 drops the step")
    rate: Pace = PACE
    concurrency: Concurrency = PARALLEL
    size: Size | None = Field(
        default=None, description="payload of a Secret or Bundle, drawn between the two ends; [2KB, 5KB]"
    )
    bundles: Annotated[int, Field(ge=1, le=1000)] | None = Field(default=None, description="Bundles per GitRepo; 1")
    matching: Count | None = Field(
        default=None, description="how many of the GitRepos or Bundles select the label of the flip; 0"
    )
    labels: Labels = Field(default={}, description="labels that the objects are created with")
    namespaces: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="namespaces that Secrets are spread over, in turn; 1"
    )
    timeout: Seconds = Field(
        default=600.0, description="how long the step may take", json_schema_extra={"default": "10m"}
    )

    @property
    def payload(self) -> AnySize | None:
        """Sizes of the payloads in bytes, None for kinds that carry none."""
        return (self.size or DEFAULT_SIZE) if self.resource in (SECRET, BUNDLE) else None

    @property
    def resource(self) -> Kind:
        """The kind that is created."""
        return find(self.kind)

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.resource not in CREATABLE:
            names = ", ".join(kind.alias for kind in CREATABLE)
            raise fault(f"the load cannot create {self.kind}; it creates {names}", key="kind")
        owners = {
            "size": (SECRET, BUNDLE),
            "bundles": (GITREPO,),
            "matching": (GITREPO, BUNDLE),
            "namespaces": (SECRET,),
        }
        for key, kinds in owners.items():
            if getattr(self, key) is not None and self.resource not in kinds:
                names = " or ".join(kind.alias for kind in kinds)
                raise fault(f"{key} is of {names}, not of {self.kind}; remove it", key=key)
        if isinstance(self.rate, Changing) and self.rate.until_failure and self.resource != SECRET:
            raise fault(
                f"how many {self.kind} a step_until_failure creates is not known beforehand, and so not what must exist "
                "because of them; create Secrets with it",
                key="rate",
            )
        smallest = self.size[0] if isinstance(self.size, tuple) else SMALLEST_BUNDLE
        if self.resource == BUNDLE and smallest < SMALLEST_BUNDLE:
            raise fault(f"a Bundle holds a manifest of at least {SMALLEST_BUNDLE} bytes; raise size", key="size")
        if self.count and (self.matching or 0) > self.count:
            raise fault(
                f"matching is {self.matching}, but only {self.count} {self.kind} are created; lower it",
                key="matching",
            )
        return self


class Settle(StepForm):
    """Wait until nothing moves: no watch events on the scenario's kinds, empty queues."""

    action: Literal["settle"] = "settle"
    quiet_for: Seconds = Field(
        default=3.0, description="how long nothing may move", json_schema_extra={"default": "3s"}
    )
    timeout: Seconds = Field(
        default=600.0, description="after which the run goes on, with a warning", json_schema_extra={"default": "10m"}
    )

    @model_validator(mode="after")
    def _can_end(self) -> Self:
        if self.quiet_for >= self.timeout:
            raise fault("quiet_for is not below timeout, so it cannot come to rest; raise timeout", key="quiet_for")
        return self


class Until(Model):
    """The effect that a probe waits for."""

    kind: KindName
    condition: Condition | None = Field(default=None, description="status condition that must be True; none: exists")

    @model_validator(mode="after")
    def _is_an_effect(self) -> Self:
        if find(self.kind) not in EFFECTS:
            names = " or ".join(kind.alias for kind in EFFECTS)
            raise fault(f"a flip has no effect on {self.kind}; its effects are seen on {names}", key="kind")
        return self


class Probe(Model):
    """A latency to measure: from each flip to each object that it concerns. Its name is part of metric names."""

    name: ProbeName
    until: Annotated[
        Until,
        BeforeValidator(
            lambda value: {"kind": value} if isinstance(value, str) else value, json_schema_input_type=KindName | Until
        ),
    ]


class Flip(StepForm):
    """Merge labels into `count` different objects of a kind, once each."""

    lifted: ClassVar[tuple[str, ...]] = ("probes",)

    action: Literal["flip"] = "flip"
    kind: KindName
    labels: Labels = Field(min_length=1)
    count: Count = Field(default=1, description="how many objects, once each; 0 drops the step")
    rate: Pace = PACE
    concurrency: Concurrency = PARALLEL
    timeout: Seconds = Field(
        default=600.0,
        description="how long the requests may take, without their effects",
        json_schema_extra={"default": "10m"},
    )
    probes: list[Probe] = Field(default=[], max_length=10)

    @property
    def resource(self) -> Kind:
        """The kind that is flipped."""
        return find(self.kind)

    @model_validator(mode="after")
    def _flips_clusters(self) -> Self:
        if self.resource not in CLUSTERS:
            names = " or ".join(kind.alias for kind in CLUSTERS)
            raise fault(f"the load cannot flip {self.kind}; it flips {names}", key="kind")
        if isinstance(self.rate, Changing) and self.rate.until_failure:
            raise fault("how many flips a step_until_failure makes is not known beforehand; patch with it", key="rate")
        return self


def _flatten(value: object) -> object:
    """From the file's form to the flat one; what is not a step is left for the discriminator to refuse."""
    if not isinstance(value, dict):
        return value
    actions = [key for key in value if key in ACTIONS]
    if not actions:
        return value
    action = actions[0]
    if len(actions) > 1:
        raise fault(f"one step has both {action} and {actions[1]}; begin a new item ('-') for each", key=actions[1])
    beside = {key: item for key, item in value.items() if key != action}
    lifted = Flip.lifted if action == "flip" else ()
    for key in beside:
        if key not in lifted:
            raise unknown_key(key, [action, *lifted], remedy=_elsewhere(key, action))
    inner = {} if value[action] is None and action == "settle" else value[action]
    if action in ("pause", "parallel"):
        return {"action": action, ("seconds" if action == "pause" else "steps"): inner}
    if not isinstance(inner, dict):
        raise fault(f"expected a mapping, as {action}: {{...}}, got {shown(inner)}", key=action)
    if "probes" in inner and action == "flip":
        raise fault("probes stand beside flip, not inside it; indent them as flip is", key=action)
    return {"action": action, **beside, **{key: item for key, item in inner.items() if key != "action"}}


def _elsewhere(key: str, action: str) -> str | None:
    """A remedy for a key that belongs one level further in."""
    model = MODELS[action]
    return f"write it inside {action}: {{...}}" if key in model.model_fields and key != "action" else None


def _tag(value: object) -> str | None:
    action = value.get("action") if isinstance(value, dict) else getattr(value, "action", None)
    return f"<{action}>" if action in ACTIONS else None


def no_such_step(value: object) -> str:
    """What to say of an item of `load` that is no step."""
    if isinstance(value, dict) and value:
        key = str(next(iter(value)))
        return f"unknown step {key!r}; {suggest(key, ACTIONS, title='steps')}"
    return f"expected a step, as create: {{...}}, got {shown(value)}"


_Single = (
    Annotated[Create, Tag("<create>")]
    | Annotated[Settle, Tag("<settle>")]
    | Annotated[Flip, Tag("<flip>")]
    | Annotated[Delete, Tag("<delete>")]
    | Annotated[Patch, Tag("<patch>")]
    | Annotated[Read, Tag("<read>")]
    | Annotated[List, Tag("<list>")]
    | Annotated[Churn, Tag("<churn>")]
    | Annotated[Watch, Tag("<watch>")]
    | Annotated[Pause, Tag("<pause>")]
)


class Parallel(StepForm):
    """Steps that run at the same time; over when all are."""

    alone: ClassVar[str | None] = "steps"

    action: Literal["parallel"] = "parallel"
    steps: list[Annotated[_Single, Discriminator(_tag), BeforeValidator(_flatten)]] = Field(
        min_length=1, max_length=MOST_PARALLEL
    )

    @model_validator(mode="after")
    def _requests_only(self) -> Self:
        for step in self.steps:
            if isinstance(step, Settle | Pause):
                raise fault(
                    f"{step.action} sends no requests, so nothing can run beside it; put it after the parallel steps"
                )
        return self


MODELS: dict[str, type[StepForm]] = {
    "create": Create,
    "settle": Settle,
    "flip": Flip,
    "delete": Delete,
    "patch": Patch,
    "read": Read,
    "list": List,
    "churn": Churn,
    "watch": Watch,
    "pause": Pause,
    "parallel": Parallel,
}
"""By the action's word."""

Step = Annotated[
    _Single | Annotated[Parallel, Tag("<parallel>")],
    Discriminator(_tag),
    BeforeValidator(_flatten),
]
"""One step of the load."""
