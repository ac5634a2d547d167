"""Parts of a subject: how it tells that it is ready, Go's environment, admission webhooks."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from harness.scenario.fields import Memory, Model, Text, Url, fault
from harness.scenario.hints import shown

_DNS = r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?"


class LeaseReady(Model):
    """A Lease that somebody holds: the subject has become leader."""

    namespace: Text | None = Field(default=None, description="namespace of the Lease; that of the load's objects")
    name: Text = Field(description="its name, as the controller's leader election calls it")

    @field_validator("namespace", "name")
    @classmethod
    def _a_name(cls, value: str | None) -> str | None:
        # `{namespace}` is filled in when the run begins.
        if value is not None and "{" not in value and not re.fullmatch(_DNS, value):
            raise fault(f"{shown(value)} is not a name of Kubernetes (lower-case letters, digits, '-', '.')")
        return value


class Ready(Model):
    """How the harness knows that the subject is up: exactly one of these."""

    http: Url | None = Field(default=None, description="address that answers with 2xx once the subject is ready")
    log: Text | None = Field(
        default=None, description="regular expression that a line of its log matches once it is ready"
    )
    lease: LeaseReady | None = Field(default=None, description="Lease that is held once it is ready")
    metric: Text | None = Field(
        default=None, description="name on subject.metrics whose sum reaches `min` once it is ready"
    )
    min: float | None = Field(default=None, description="of `metric`; 0, which is: it is there at all")

    @field_validator("log")
    @classmethod
    def _a_pattern(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise fault(f"{shown(value)} is not a regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [name for name in ("http", "log", "lease", "metric") if getattr(self, name) is not None]
        if len(given) != 1:
            what = "none" if not given else " and ".join(given)
            raise fault(f"ready is one of http, log, lease and metric, and {what} is given")
        if self.min is not None and self.metric is None:
            raise fault("min is that of a metric; name it, as metric: workqueue_depth", key="min")
        return self


def _gogc(value: object) -> int | Literal["off"]:
    if value == "off":
        return "off"
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 100_000:
        return value
    raise fault(f"expected a percentage such as 50, or off, got {shown(value)}")


_MEMORY = TypeAdapter(Memory)


def _memlimit(value: object) -> object:
    return value if value == "auto" else _MEMORY.validate_python(value)


MemLimit = Annotated[
    int | Literal["auto"],
    PlainValidator(_memlimit),
    PlainSerializer(lambda value: value if value == "auto" else _MEMORY.dump_python(value), return_type=str),
    WithJsonSchema({"anyOf": [{"const": "auto"}, _MEMORY.json_schema()], "examples": ["400Mi"]}),
]
"""Bytes, or `auto`."""

GoGC = Annotated[
    int | Literal["off"],
    PlainValidator(_gogc),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "off"}]}),
]
"""A percentage, or `off`."""


class GoEnvironment(Model):
    """What Go's runtime reads from its environment."""

    memlimit: MemLimit | None = Field(default=None, description="GOMEMLIMIT; `auto` is 90 % of memory_limit")
    gogc: GoGC | None = Field(default=None, description="GOGC: a percentage, or off")
    maxprocs: Annotated[int, Field(ge=1, le=4096)] | None = Field(default=None, description="GOMAXPROCS")

    def environment(self, memory_limit: int | None) -> dict[str, str]:
        """The variables that these values stand for."""
        memlimit = round(memory_limit * AUTO_SHARE) if self.memlimit == "auto" and memory_limit else self.memlimit
        found = {"GOMEMLIMIT": memlimit, "GOGC": self.gogc, "GOMAXPROCS": self.maxprocs}
        return {name: str(value) for name, value in found.items() if value is not None}


AUTO_SHARE = 0.9
"""Of the memory limit: the runtime's own target must leave room for what Go does not account for."""


class Webhooks(Model):
    """Admission webhooks that the subject serves, called by the API server of the run."""

    port: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,60}$")] = Field(
        default="webhook", description="NAME of the `{port:NAME}` on which it serves them with TLS"
    )
    configurations: list[Text] = Field(
        min_length=1, max_length=20, description="files with its Validating- and MutatingWebhookConfigurations"
    )
