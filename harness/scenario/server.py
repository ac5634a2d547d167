"""What a scenario says of the API server of a run: only its limits on requests in flight."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from harness.scenario.fields import Model, fault
from harness.scenario.hints import shown

_Seats = Annotated[int, Field(ge=1, le=100_000)]


class InflightLimits(Model):
    """Plain limits instead of priority and fairness: what is above them is refused at once, with 429 and Retry-After."""

    mutating: _Seats = Field(
        default=200, description="requests that change something; --max-mutating-requests-inflight"
    )
    reading: _Seats = Field(default=400, description="requests that only read; --max-requests-inflight")


def _a_choice(value: object) -> object:
    if value in ("on", "off") or isinstance(value, dict | InflightLimits):
        return value
    raise fault(f"expected on, off, or {{mutating: N, reading: N}}, got {shown(value)}")


Inflight = Annotated[
    Annotated[Literal["on", "off"], Tag("<word>")] | Annotated[InflightLimits, Tag("<>")],
    Discriminator(lambda value: "<word>" if isinstance(value, str) else "<>"),
    BeforeValidator(_a_choice),
]


class ApiServer(Model):
    """Settings of the API server of a run's own cluster, embedded or kind."""

    inflight: Inflight = Field(
        default="on",
        description="on: Kubernetes' defaults (priority and fairness); off: lifted; or plain limits of your own",
    )
