"""The steps of a load: create objects, wait until all is quiet, flip labels, restart or fail over, run a command.

What works on what is there, and the pause, is in `traffic`.

In a file a step is a mapping with one action, as `create: {kind: Secret, count: 10}`; a flip has its `probes` beside it.
In Python it is one flat `Create`, `Settle`, `Flip`, `Restart`, `Failover` or `Hook`. Reading flattens, dumping restores the
file's form.
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

from harness.core.kinds import find, is_own
from harness.scenario.fields import (
    MAX_COUNT,
    Concurrency,
    Condition,
    Count,
    Equals,
    JSONPathText,
    KindName,
    LabelKey,
    Model,
    ProbeLabel,
    ProbeName,
    Seconds,
    Text,
    fault,
    unknown_key,
)
from harness.scenario.hints import shown, suggest
from harness.scenario.rates import Changing, Pace
from harness.scenario.sizes import AnySize, Size
from harness.scenario.stepform import PACE, PARALLEL, Labels, OfAKind, StepForm
from harness.scenario.traffic import Churn, Delete, List, Patch, Pause, Read, Watch

ACTIONS = (
    *("create", "settle", "flip", "restart", "failover", "hook"),
    *("delete", "patch", "read", "list", "churn", "watch", "pause", "parallel"),
)
BARE = ("settle", "restart", "failover")
"""Actions that need no values: `settle:` is `settle: {}`."""
SECRET, GITREPO, BUNDLE = find("Secret"), find("GitRepo"), find("Bundle")
DEPLOYMENT = find("BundleDeployment")
MANAGEMENT_CLUSTER, FLEET_CLUSTER = find("Cluster.management.cattle.io"), find("Cluster.fleet.cattle.io")
CLUSTERS = (MANAGEMENT_CLUSTER, FLEET_CLUSTER)
ACCOUNT, INFERENCE_SERVICE = find("ServiceAccount"), find("InferenceService")
CREATABLE = (SECRET, GITREPO, BUNDLE, *CLUSTERS, ACCOUNT, INFERENCE_SERVICE)
USES = {GITREPO: SECRET, ACCOUNT: SECRET, INFERENCE_SERVICE: ACCOUNT}
"""Which kind may refer to which."""
BY_RULE = (GITREPO, BUNDLE, DEPLOYMENT, *CLUSTERS)
"""Kinds whose consequences are computed from how a step creates them: a template would hide that."""
EFFECTS = (DEPLOYMENT, FLEET_CLUSTER)
"""Kinds by which the effect of a flip can be seen."""

MOST_PARALLEL = 10
DEFAULT_SIZE = (2000, 5000)
SMALLEST_BUNDLE = 512
"""The content of a Bundle is a manifest; a smaller one would not hold its fixed part."""


class Until(OfAKind):
    """The effect that a probe waits for: an object of a kind, found by its name, its labels or its owner."""

    condition: Condition | None = Field(default=None, description="status condition that must be True; none: exists")
    jsonpath: JSONPathText | None = Field(default=None, description="where a value must be, as {.status.phase}")
    equals: Equals | None = Field(default=None, description="what the value at `jsonpath` must be; none: anything")
    deleted: bool = Field(default=False, description="that the object is gone")
    label: dict[LabelKey, ProbeLabel] = Field(
        default={}, description="labels by which it is found; `{cause}` is the name of the object that caused it"
    )
    owner: bool = Field(default=False, description="found by an ownerReference to the object that caused it")

    @property
    def by_rule(self) -> bool:
        """Whether the targets of a flip follow from Fleet's rules."""
        return not (self.label or self.owner) and self.resource in EFFECTS

    @model_validator(mode="after")
    def _is_one_test(self) -> Self:
        tests = [key for key in ("condition", "jsonpath", "deleted") if getattr(self, key)]
        if len(tests) > 1:
            raise fault(f"one probe waits for one thing, not for {' and '.join(tests)}; make it two", key=tests[1])
        if self.equals is not None and self.jsonpath is None:
            raise fault("equals needs a jsonpath; say where the value is", key="equals")
        if tests[:1] in (["condition"], ["jsonpath"]) and self.resource == SECRET:
            raise fault(f"Secrets are watched without their content; {tests[0]} cannot be seen", key=tests[0])
        if self.owner and self.label:
            raise fault("an effect is found by its labels or by its owner; remove one", key="owner")
        if self.label and not any("{cause}" in value for value in self.label.values()):
            raise fault("labels must tell one cause from another; write {cause} where its name belongs", key="label")
        return self


class Probe(Model):
    """A latency to measure: from each cause to each object that it concerns. Its name is part of metric names."""

    name: ProbeName
    until: Annotated[
        Until,
        BeforeValidator(
            lambda value: {"kind": value} if isinstance(value, str) else value, json_schema_input_type=KindName | Until
        ),
    ]
    when: bool = Field(default=True, description="false drops the probe")


class Create(OfAKind, StepForm):
    """Create `count` objects of a kind."""

    lifted: ClassVar[tuple[str, ...]] = ("probes",)

    action: Literal["create"] = "create"
    template: Text | None = Field(default=None, description="file that each object is rendered from; it gives the kind")
    count: Count = Field(description="how many; 0 drops the step")
    rate: Pace = PACE
    concurrency: Concurrency = PARALLEL
    size: Size | None = Field(
        default=None, description="payload of a Secret or Bundle, drawn between the two ends; [2KB, 5KB]"
    )
    bundles: Annotated[int, Field(ge=1, le=1000)] | None = Field(default=None, description="Bundles per GitRepo; 1")
    bundles_from: Literal["controller", "load"] | None = Field(
        default=None,
        description="who makes the Bundles of the GitRepos: the controller; or the load, which then creates no GitRepos",
    )
    registered: bool = Field(
        default=False, description="write status.namespace of each Fleet Cluster, as who registers Clusters would"
    )
    matching: Count | None = Field(
        default=None, description="how many of the GitRepos or Bundles select the label of the flip; 0"
    )
    labels: Labels = Field(default={}, description="labels that the objects are created with")
    uses: KindName | None = Field(default=None, description="kind of earlier objects that each of these refers to")
    namespaces: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="namespaces that Secrets are spread over, in turn; 1"
    )
    timeout: Seconds = Field(
        default=600.0, description="how long the step may take", json_schema_extra={"default": "10m"}
    )
    probes: list[Probe] = Field(default=[], max_length=10)

    @property
    def payload(self) -> AnySize | None:
        """Sizes of the payloads in bytes, None for kinds that carry none."""
        return (self.size or DEFAULT_SIZE) if self.resource in (SECRET, BUNDLE) and self.template is None else None

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if isinstance(self.rate, Changing) and self.rate.until_failure:
            self._may_be_open_ended()
        if self.template is not None:
            return self._fits_its_template()
        if is_own(self.resource):
            raise fault(f"{self.kind} is created from a template; write template: FILE", key="kind")
        if self.resource not in CREATABLE:
            names = ", ".join(kind.alias for kind in CREATABLE)
            raise fault(f"the load cannot create {self.kind}; it creates {names}", key="kind")
        owners = {
            "size": (SECRET, BUNDLE),
            "bundles": (GITREPO,),
            "bundles_from": (GITREPO,),
            "matching": (GITREPO, BUNDLE),
            "namespaces": (SECRET,),
        }
        for key, kinds in owners.items():
            if getattr(self, key) is not None and self.resource not in kinds:
                names = " or ".join(kind.alias for kind in kinds)
                raise fault(f"{key} is of {names}, not of {self.kind}; remove it", key=key)
        if self.registered and self.resource not in CLUSTERS:
            raise fault(f"registered is of Clusters, not of {self.kind}; remove it", key="registered")
        wanted = USES.get(self.resource)
        if self.uses is not None and (wanted is None or self.uses != wanted.alias):
            pairs = ", ".join(f"{kind.alias} uses {other.alias}" for kind, other in USES.items())
            raise fault(f"{self.kind} does not use {self.uses}; {pairs}", key="uses")
        smallest = self.size[0] if isinstance(self.size, tuple) else SMALLEST_BUNDLE
        if self.resource == BUNDLE and smallest < SMALLEST_BUNDLE:
            raise fault(f"a Bundle holds a manifest of at least {SMALLEST_BUNDLE} bytes; raise size", key="size")
        if self.count and (self.matching or 0) > self.count:
            raise fault(
                f"matching is {self.matching}, but only {self.count} {self.kind} are created; lower it",
                key="matching",
            )
        if self.bundles_from == "load":
            self._can_be_bundles()
        return self

    @property
    def registers(self) -> bool:
        """Whether the load registers what it creates. Management Clusters have nothing to register: `flip_kind` may be either."""
        return self.registered and self.resource == FLEET_CLUSTER

    def plain(self) -> Self:
        """The step that is carried out: where the load makes the Bundles of GitRepos, one that creates these."""
        if self.bundles_from != "load":
            return self
        each = self.bundles or 1
        matching = None if self.matching is None else self.matching * each
        bundles = self.model_copy(
            update={
                "kind": BUNDLE.alias,
                "count": self.count * each,
                "bundles": None,
                "bundles_from": None,
                "matching": matching,
            }
        )
        bundles._resource = BUNDLE
        return bundles

    def _can_be_bundles(self) -> None:
        if self.uses is not None:
            raise fault("GitRepos that are not created use no Secrets; remove uses, or bundles_from: load", key="uses")
        if (bundles := self.count * (self.bundles or 1)) > MAX_COUNT:
            cause = f"{self.count} GitRepos of {self.bundles or 1} Bundles make {bundles} Bundles"
            raise fault(f"{cause}; at most {MAX_COUNT} are accepted", key="bundles")

    def _may_be_open_ended(self) -> None:
        if self.resource != SECRET:
            raise fault(
                f"how many {self.kind} a step_until_failure creates is not known beforehand, and so not what must exist "
                "because of them; create Secrets with it",
                key="rate",
            )
        if self.probes:
            raise fault(
                "how many Secrets a step_until_failure creates is not known beforehand, and so not what a probe waits "
                "for; remove the probes, or create them at another rate",
                key="rate",
            )

    def _fits_its_template(self) -> Self:
        if self.resource in BY_RULE:
            raise fault(f"{self.kind} is created without a template; write kind: {self.kind}", key="template")
        for key in ("size", "bundles", "bundles_from", "matching", "namespaces", "uses"):
            if getattr(self, key) is not None:
                raise fault(f"{key} says nothing where a template does; remove it", key=key)
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

    point: bool = Field(default=False, description="then force a collection and take a measuring point")
    trim: bool = Field(
        default=False, description="after the point let the C library give free memory back, and look again"
    )

    @model_validator(mode="after")
    def _can_end(self) -> Self:
        if self.quiet_for >= self.timeout:
            raise fault("quiet_for is not below timeout, so it cannot come to rest; raise timeout", key="quiet_for")
        if self.trim and not self.point:
            raise fault("trim is looked at beside a point; add point: true", key="trim")
        return self


class Flip(OfAKind, StepForm):
    """Merge labels into `count` different objects of a kind, once each."""

    lifted: ClassVar[tuple[str, ...]] = ("probes",)

    action: Literal["flip"] = "flip"
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

    @model_validator(mode="after")
    def _flips_clusters(self) -> Self:
        if self.resource not in CLUSTERS:
            names = " or ".join(kind.alias for kind in CLUSTERS)
            raise fault(f"the load cannot flip {self.kind}; it flips {names}", key="kind")
        if isinstance(self.rate, Changing) and self.rate.until_failure:
            raise fault("how many flips a step_until_failure makes is not known beforehand; patch with it", key="rate")
        return self


class Restart(StepForm):
    """End the subject and start it again, in a fresh cgroup, with all that the load has made still there."""

    action: Literal["restart"] = "restart"
    of: Literal["subject", "apiserver"] = Field(
        default="subject",
        description="`apiserver`: kill and start the API server; every watch drops and is refused with 410",
    )
    signal: Literal["TERM", "KILL"] = Field(default="TERM", description="how it is ended; TERM lets it take its leave")
    wait: Literal["ready"] = Field(default="ready", description="what the step waits for, up to subject.ready_timeout")


class Failover(StepForm):
    """End the replica that is leader, measure how long the other takes over, and start it again as a standby."""

    action: Literal["failover"] = "failover"
    signal: Literal["TERM", "KILL"] = Field(
        default="KILL", description="how the leader is ended; TERM lets it give up its Lease"
    )
    timeout: Seconds = Field(
        default=60.0, description="by when the other must hold the Lease", json_schema_extra={"default": "1m"}
    )


class Hook(StepForm):
    """Run a command of the user's; where it fails the run is invalid."""

    action: Literal["hook"] = "hook"
    command: list[Text] = Field(min_length=1, description="with KUBECONFIG (an administrator's) and HARNESS_RUN_ID set")
    timeout: Seconds = Field(
        default=30.0, description="after which it is ended, and has failed", json_schema_extra={"default": "30s"}
    )


LIFTED: dict[str, tuple[str, ...]] = {"create": Create.lifted, "flip": Flip.lifted}
"""By action: what stands beside it."""


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
    lifted = LIFTED.get(action, ())
    for key in beside:
        if key not in lifted:
            raise unknown_key(key, [action, *lifted], remedy=_elsewhere(key, action))
    inner = {} if value[action] is None and action in BARE else value[action]
    if action in ("pause", "parallel"):
        return {"action": action, ("seconds" if action == "pause" else "steps"): inner}
    if not isinstance(inner, dict):
        raise fault(f"expected a mapping, as {action}: {{...}}, got {shown(inner)}", key=action)
    if "probes" in inner and lifted:
        raise fault(f"probes stand beside {action}, not inside it; indent them as {action} is", key=action)
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
    | Annotated[Restart, Tag("<restart>")]
    | Annotated[Failover, Tag("<failover>")]
    | Annotated[Hook, Tag("<hook>")]
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
            if isinstance(step, Settle | Restart | Failover | Hook | Pause):
                raise fault(
                    f"{step.action} sends no requests, so nothing can run beside it; put it after the parallel steps"
                )
        return self


MODELS: dict[str, type[StepForm]] = {
    "create": Create,
    "settle": Settle,
    "flip": Flip,
    "restart": Restart,
    "failover": Failover,
    "hook": Hook,
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
