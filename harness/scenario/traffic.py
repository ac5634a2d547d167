"""Steps that work on what is there: delete, patch, read, list, churn, watch; and the pause.

Which objects a step takes is drawn by the seed from those that earlier steps created (`population`).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from harness.core.kinds import Kind, find, is_own
from harness.scenario.expectation import quantity, render
from harness.scenario.fields import MAX_COUNT, Concurrency, Count, Seconds, fault
from harness.scenario.hints import shown
from harness.scenario.rates import Changing, Pace
from harness.scenario.stepform import PACE, PARALLEL, TIMEOUT, Labels, OfAKind, StepForm

_CLUSTERS = (find("Cluster.management.cattle.io"), find("Cluster.fleet.cattle.io"))
REMOVABLE = (find("Secret"), find("GitRepo"), find("Bundle"))
"""Kinds that a load deletes: without Clusters, on which all else depends."""
CHANGEABLE = (*REMOVABLE, *_CLUSTERS)
READABLE = (*CHANGEABLE, find("BundleDeployment"), find("ClusterGroup"), find("ConfigMap"), find("InferenceService"))
"""Kinds that a load lists and watches; its role allows no others."""

_KEPT = {find("GitRepo"): ("paths", "targets"), find("Bundle"): ("targets",)}
"""Parts of a spec by which it is known what must exist; a patch of them would make that wrong."""


def _all_or_count(value: object) -> int | None:
    if value is None or value == "all":
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_COUNT:
        raise fault(f"expected how many, or all, got {shown(value)}")
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault(f"expected a share such as 10%, got {shown(value)}")
    number = quantity(value, "ratio")
    if not 0 < number <= 1:
        raise fault(f"{shown(value)} is not above 0% and up to 100%")
    return number


AllOrCount = Annotated[
    int | None,
    PlainValidator(_all_or_count),
    PlainSerializer(lambda value: "all" if value is None else value),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": MAX_COUNT}, {"const": "all"}]}),
]
"""How many; None is all there are."""

Share = Annotated[
    float,
    PlainValidator(_share),
    PlainSerializer(lambda value: render(value, "ratio")),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "^[0-9.]+ ?%?$"}]}),
]
"""A share of the objects."""


class Traffic(OfAKind, StepForm):
    """A step whose requests are about objects of a kind that are there."""

    kinds: ClassVar[tuple[Kind, ...]] = CHANGEABLE
    seeks: ClassVar[bool] = True
    """Whether its rate may be a `step_until_failure`: what must exist does not depend on how far it comes."""

    action: str
    rate: Pace = PACE
    concurrency: Concurrency = PARALLEL
    timeout: Seconds = TIMEOUT

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.resource not in self.kinds and not is_own(self.resource):
            names = ", ".join(kind.alias for kind in self.kinds)
            raise fault(f"{self.action} is not for {self.kind}; it is for {names}", key="kind")
        if isinstance(self.rate, Changing) and self.rate.until_failure and not self.seeks:
            raise fault(f"{self.action} cannot be a step_until_failure: what must exist would be unknown", key="rate")
        return self


class Delete(Traffic):
    """Delete objects that earlier steps created."""

    kinds: ClassVar[tuple[Kind, ...]] = REMOVABLE
    seeks: ClassVar[bool] = False

    action: Literal["delete"] = "delete"
    count: AllOrCount = Field(default=None, description="how many, or all", json_schema_extra={"default": "all"})


class Patch(Traffic):
    """Merge labels, annotations or fields of the spec into objects that earlier steps created, once each."""

    action: Literal["patch"] = "patch"
    count: AllOrCount = Field(default=None, description="how many, or all", json_schema_extra={"default": "all"})
    labels: Labels = Field(default={}, description="labels to merge; those of Clusters are flipped instead")
    annotations: dict[str, str] = Field(default={}, description="annotations to merge")
    spec: dict[str, Any] = Field(default={}, description="fields of the spec to merge")

    @property
    def body(self) -> dict[str, Any]:
        """The merge patch."""
        metadata = {key: dict(value) for key in ("labels", "annotations") if (value := getattr(self, key))}
        return ({"metadata": metadata} if metadata else {}) | ({"spec": self.spec} if self.spec else {})

    @model_validator(mode="after")
    def _changes_what_it_may(self) -> Self:
        if not self.body:
            raise fault("a patch needs labels, annotations or spec")
        if self.labels and self.resource in _CLUSTERS:
            raise fault("labels of Clusters decide what must exist; write a flip", key="labels")
        if self.spec and self.resource == find("Secret"):
            raise fault("a Secret has no spec; patch its labels or annotations", key="spec")
        if kept := sorted(set(self.spec) & set(_KEPT.get(self.resource, ()))):
            raise fault(f"spec.{kept[0]} of a {self.kind} decides what must exist; leave it", key="spec")
        return self


class Read(Traffic):
    """Get objects by name; each request draws one."""

    action: Literal["read"] = "read"
    count: Count = Field(description="how many requests; 0 drops the step")


class List(Traffic):
    """List a kind, whole or page by page."""

    kinds: ClassVar[tuple[Kind, ...]] = READABLE

    action: Literal["list"] = "list"
    count: Count = Field(default=1, description="how many lists; 0 drops the step")
    page_size: Annotated[int, Field(ge=1, le=100_000)] | None = Field(
        default=None, description="objects of a page; without it the list comes whole"
    )
    selector: Labels = Field(default={}, description="labels that the objects must have")
    metadata_only: bool = Field(default=False, description="ask for metadata alone")


class Churn(Traffic):
    """Delete a share of the objects and create them again, cycle by cycle."""

    kinds: ClassVar[tuple[Kind, ...]] = REMOVABLE
    seeks: ClassVar[bool] = False

    action: Literal["churn"] = "churn"
    percentage: Share = Field(description="share of the objects, drawn anew for each cycle")
    cycles: Annotated[int, Field(ge=1, le=10_000)] = 1
    delay: Seconds = Field(default=1.0, description="rest between cycles", json_schema_extra={"default": "1s"})

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if isinstance(self.rate, Changing):
            raise fault("a churn has one rate, or max", key="rate")
        return self


class Watch(Traffic):
    """Open watches that stay open, and are read, until the end of the load."""

    kinds: ClassVar[tuple[Kind, ...]] = READABLE

    action: Literal["watch"] = "watch"
    watchers: Annotated[int, Field(ge=0, le=10_000)] = Field(description="how many; 0 drops the step")
    selector: Labels = Field(default={}, description="labels that the objects must have")
    metadata_only: bool = Field(default=False, description="ask for metadata alone")

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if isinstance(self.rate, Changing):
            raise fault("watches are opened at one rate, or max", key="rate")
        return self


class Pause(StepForm):
    """Do nothing for a while."""

    alone: ClassVar[str | None] = "seconds"

    action: Literal["pause"] = "pause"
    seconds: Seconds
