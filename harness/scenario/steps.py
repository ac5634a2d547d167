"""The steps of a load: create objects, wait until all is quiet, flip labels, restart the subject, run a command.

In a file a step is a mapping with one action, as `create: {kind: Secret, count: 10}`; a flip has its `probes` beside it.
In Python it is one flat `Create`, `Settle`, `Flip`, `Restart` or `Hook`. Reading flattens, dumping restores the file's form.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from harness.core.kinds import Kind, find
from harness.scenario.fields import (
    Concurrency,
    Condition,
    Count,
    KindName,
    LabelKey,
    LabelValue,
    Model,
    ProbeName,
    Rate,
    Seconds,
    SizeRange,
    Text,
    fault,
    unknown_key,
)
from harness.scenario.hints import shown, suggest

ACTIONS = ("create", "settle", "flip", "restart", "hook")
BARE = ("settle", "restart")
"""Actions that need no values: `settle:` is `settle: {}`."""
SECRET, GITREPO, BUNDLE = find("Secret"), find("GitRepo"), find("Bundle")
DEPLOYMENT = find("BundleDeployment")
MANAGEMENT_CLUSTER, FLEET_CLUSTER = find("Cluster.management.cattle.io"), find("Cluster.fleet.cattle.io")
CLUSTERS = (MANAGEMENT_CLUSTER, FLEET_CLUSTER)
CREATABLE = (SECRET, GITREPO, BUNDLE, *CLUSTERS)
EFFECTS = (DEPLOYMENT, FLEET_CLUSTER)
"""Kinds by which the effect of a flip can be seen."""

DEFAULT_SIZE = (2000, 5000)
SMALLEST_BUNDLE = 512
"""The content of a Bundle is a manifest; a smaller one would not hold its fixed part."""

Labels = dict[LabelKey, LabelValue]
_Parallel = Field(default=64, description="requests under way at most")
_Rate = Field(default=None, description="requests begun per second, or `max`", json_schema_extra={"default": "max"})


class _Step(Model):
    """What all steps share: their form in a file."""

    lifted: ClassVar[tuple[str, ...]] = ()
    """Fields that stand beside the action in a file, not under it."""

    @model_serializer(mode="wrap")
    def _dump(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        inner = dict(handler(self))
        action = inner.pop("action")
        beside = {key: inner.pop(key) for key in self.lifted}
        return {action: inner, **beside}


class Create(_Step):
    """Create `count` objects of a kind."""

    action: Literal["create"] = "create"
    kind: KindName
    count: Count = Field(description="how many; 0 drops the step")
    rate: Rate = _Rate
    concurrency: Concurrency = _Parallel
    size: SizeRange | None = Field(
        default=None, description="payload of a Secret or Bundle, drawn between the two ends; [2KB, 5KB]"
    )
    bundles: Annotated[int, Field(ge=1, le=1000)] | None = Field(default=None, description="Bundles per GitRepo; 1")
    matching: Count | None = Field(
        default=None, description="how many of the GitRepos or Bundles select the label of the flip; 0"
    )
    labels: Labels = Field(default={}, description="labels that the objects are created with")
    timeout: Seconds = Field(
        default=600.0, description="how long the step may take", json_schema_extra={"default": "10m"}
    )

    @property
    def payload(self) -> tuple[int, int] | None:
        """Smallest and largest payload in bytes, None for kinds that carry none."""
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
        owners = {"size": (SECRET, BUNDLE), "bundles": (GITREPO,), "matching": (GITREPO, BUNDLE)}
        for key, kinds in owners.items():
            if getattr(self, key) is not None and self.resource not in kinds:
                names = " or ".join(kind.alias for kind in kinds)
                raise fault(f"{key} is of {names}, not of {self.kind}; remove it", key=key)
        if self.resource == BUNDLE and self.size is not None and self.size[0] < SMALLEST_BUNDLE:
            raise fault(f"a Bundle holds a manifest of at least {SMALLEST_BUNDLE} bytes; raise size", key="size")
        if self.count and (self.matching or 0) > self.count:
            raise fault(
                f"matching is {self.matching}, but only {self.count} {self.kind} are created; lower it",
                key="matching",
            )
        return self


class Settle(_Step):
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


class Flip(_Step):
    """Merge labels into `count` different objects of a kind, once each."""

    lifted: ClassVar[tuple[str, ...]] = ("probes",)

    action: Literal["flip"] = "flip"
    kind: KindName
    labels: Labels = Field(min_length=1)
    count: Count = Field(default=1, description="how many objects, once each; 0 drops the step")
    rate: Rate = _Rate
    concurrency: Concurrency = _Parallel
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
        return self


class Restart(_Step):
    """End the subject and start it again, in a fresh cgroup, with all that the load has made still there."""

    action: Literal["restart"] = "restart"
    signal: Literal["TERM", "KILL"] = Field(default="TERM", description="how it is ended; TERM lets it take its leave")
    wait: Literal["ready"] = Field(default="ready", description="what the step waits for, up to subject.ready_timeout")


class Hook(_Step):
    """Run a command of the user's; where it fails the run is invalid."""

    action: Literal["hook"] = "hook"
    command: list[Text] = Field(min_length=1, description="with KUBECONFIG (an administrator's) and HARNESS_RUN_ID set")
    timeout: Seconds = Field(
        default=30.0, description="after which it is ended, and has failed", json_schema_extra={"default": "30s"}
    )


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
    inner = {} if value[action] is None and action in BARE else value[action]
    if not isinstance(inner, dict):
        raise fault(f"expected a mapping, as {action}: {{...}}, got {shown(inner)}", key=action)
    if "probes" in inner and action == "flip":
        raise fault("probes stand beside flip, not inside it; indent them as flip is", key=action)
    return {"action": action, **beside, **{key: item for key, item in inner.items() if key != "action"}}


def _elsewhere(key: str, action: str) -> str | None:
    """A remedy for a key that belongs one level further in."""
    models: dict[str, type[_Step]] = {
        "create": Create, "settle": Settle, "flip": Flip, "restart": Restart, "hook": Hook,
    }  # fmt: skip
    model = models[action]
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


Step = Annotated[
    Annotated[Create, Tag("<create>")]
    | Annotated[Settle, Tag("<settle>")]
    | Annotated[Flip, Tag("<flip>")]
    | Annotated[Restart, Tag("<restart>")]
    | Annotated[Hook, Tag("<hook>")],
    Discriminator(_tag),
    BeforeValidator(_flatten),
]
"""One step of the load."""
