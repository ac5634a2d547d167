"""`agents:` of a scenario: fake agents that answer for a whole fleet of Clusters, how late, and what goes wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from harness.core.handles import JSON
from harness.scenario.expectation import quantity, render
from harness.scenario.fields import MAX_SECONDS, Concurrency, Model, fault, unknown_key
from harness.scenario.hints import shown

DEFAULT_DELAY_S = 0.2
DEFAULT_HEARTBEAT_S = 900.0
"""Fleet's own agent-checkin-interval."""
_EXAMPLE = "{lognormal: {median: 500ms, sigma: 1.0}, max: 1m}"
_TIME = {"type": "string", "examples": ["200ms"]}


@dataclass(frozen=True, slots=True)
class LongTail:
    """Delays with a long tail, cut off at `most`; in seconds."""

    median: float
    sigma: float
    most: float


Delay: TypeAlias = tuple[float, float] | LongTail


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault(f"expected a duration such as 200ms, got {shown(value)}")
    number = quantity(value, "seconds")
    if not 0 <= number <= MAX_SECONDS:
        raise fault(f"{shown(value)} is not between 0 s and 24 h")
    return number


def _delay(value: object) -> Delay:
    if isinstance(value, LongTail):
        return value
    if isinstance(value, dict):
        return _long_tail(value)
    if not isinstance(value, list | tuple):
        return (number := _seconds(value)), number
    if len(value) != 2:
        raise fault(f"a range of delays has two ends, as [100ms, 2s], not {len(value)}")
    least, most = (_seconds(item) for item in value)
    if least > most:
        raise fault(f"the range ends ({shown(value[1])}) below its start ({shown(value[0])})")
    return least, most


def _long_tail(value: dict[str, Any]) -> LongTail:
    for key in value:
        if key not in ("lognormal", "max"):
            raise unknown_key(str(key), ["lognormal", "max"])
    inner = value.get("lognormal")
    if not isinstance(inner, dict) or set(inner) != {"median", "sigma"} or "max" not in value:
        raise fault(f"a delay with a long tail is written as {_EXAMPLE}")
    sigma = inner["sigma"]
    if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not 0.01 <= sigma <= 10:
        raise fault(f"sigma is a number between 0.01 and 10, not {shown(sigma)}", key="lognormal")
    made = LongTail(_seconds(inner["median"]), float(sigma), _seconds(value["max"]))
    if not 0 < made.median <= made.most:
        raise fault("max is below median, or median is 0; raise it", key="max")
    return made


def _written(value: Delay) -> dict[str, Any] | list[str]:
    if isinstance(value, LongTail):
        inner = {"median": render(value.median, "seconds"), "sigma": value.sigma}
        return {"lognormal": inner, "max": render(value.most, "seconds")}
    return [render(end, "seconds") for end in value]


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault(f"expected a share such as 1% or 0.01, got {shown(value)}")
    number = quantity(value, "ratio")
    if not 0 <= number <= 1:
        raise fault(f"{shown(value)} is not between 0 % and 100 %")
    return number


Share = Annotated[
    float,
    PlainValidator(_share),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": "%$"}]}),
]


def _heartbeat(value: object) -> float | None:
    return None if value is None or value == "off" else _at_least_a_second(_seconds(value), value)


def _at_least_a_second(number: float, value: object) -> float:
    if number < 1:
        raise fault(f"{shown(value)} is less than 1 s between two heartbeats")
    return number


class Agents(Model):
    """Who answers for the Clusters of the load. Which Clusters and deployments something happens to is drawn by the seed."""

    delay: Annotated[
        Delay,
        PlainValidator(_delay),
        PlainSerializer(_written),
        WithJsonSchema(
            {"anyOf": [_TIME, {"type": "array", "items": _TIME, "minItems": 2, "maxItems": 2}, {"type": "object"}]}
        ),
    ] = Field(
        default=(DEFAULT_DELAY_S, DEFAULT_DELAY_S),
        description="from a BundleDeployment to its status: one time, two between which it is drawn, or a long tail",
        json_schema_extra={"default": "200ms"},
    )
    heartbeat: Annotated[
        float | None,
        PlainValidator(_heartbeat),
        PlainSerializer(lambda value: "off" if value is None else render(value, "seconds")),
        WithJsonSchema({"anyOf": [_TIME, {"enum": ["off"]}]}),
    ] = Field(
        default=DEFAULT_HEARTBEAT_S,
        description="between two reports of a Cluster that it is alive, or off",
        json_schema_extra={"default": "15m"},
    )
    not_ready: Share = Field(default=0.0, description="share of the BundleDeployments that never become ready")
    offline: Share = Field(default=0.0, description="share of the Clusters whose agent never answers")
    conflicts: Share = Field(
        default=0.0, description="share of the answers that are first sent for an older version, and refused"
    )
    concurrency: Concurrency = Field(default=64, description="requests under way at most")

    def planned(self) -> dict[str, JSON]:
        """As it stands in the plan of the process that plays them."""
        delay: dict[str, JSON]
        if isinstance(self.delay, LongTail):
            inner: JSON = {"median_s": self.delay.median, "sigma": self.delay.sigma}
            delay = {"lognormal": inner, "max_s": self.delay.most}
        else:
            delay = {"min_s": self.delay[0], "max_s": self.delay[1]}
        return {
            "delay": delay,
            "heartbeat_s": self.heartbeat,
            "not_ready": self.not_ready,
            "offline": self.offline,
            "conflicts": self.conflicts,
            "concurrency": self.concurrency,
        }
