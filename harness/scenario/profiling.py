"""`profile:` of a scenario: whether profilers look all the time, or only in windows, and what opens a window.

The file's key is `profile`. In the model and in records it is `profiling`, for `profile` is there the chosen set of values.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from harness.core import metrics
from harness.core.units import Dimension, parse
from harness.scenario.expectation import FORM, quantity
from harness.scenario.fields import Model, Seconds, Text, fault
from harness.scenario.hints import shown, suggest

KEY = "profile"
"""In a file."""
FIELD = "profiling"
"""In the model."""

Mode = Literal["continuous", "on-demand"]

LIVE: dict[str, tuple[Dimension, str]] = {
    "memory.rss": ("bytes", "memory"),
    "memory.anon": ("bytes", "memory"),
    "memory.cgroup": ("bytes", "memory"),
    "threads": ("count", "memory"),
    "fds": ("count", "memory"),
    "tasks": ("count", "tasks"),
    "loop.lag": ("seconds", "tasks"),
    "queue.depth": ("count", "metrics"),
}
"""What is known while a run goes on, by the name of its series: its dimension and the collector that samples it."""

_LATENCY = re.compile(rf"latency\.(?P<probe>[^\s.]+)\.(?P<quantile>{'|'.join(metrics.QUANTILES)})")
_OF_LIMIT = re.compile(r"(?P<share>.+?%)\s*of\s+limit")


@dataclass(frozen=True, slots=True)
class Trigger:
    """A comparison of something that is known while the run goes on. It fires whenever it holds."""

    text: str
    metric: str
    inclusive: bool
    """`>=`, not `>`."""
    value: float
    """In the base unit of `dimension`; a share of the memory limit where `of_limit`."""
    dimension: Dimension
    of_limit: bool = False
    probe: str | None = None
    quantile: float | None = None
    """Of the probe's latencies so far; what still waits counts with the time that it has waited."""

    def fires(self, value: float, limit_bytes: int | None) -> bool:
        """Whether it holds of `value`; never where it is about a limit that there is not."""
        if self.of_limit and limit_bytes is None:
            return False
        bound = self.value * (limit_bytes or 0) if self.of_limit else self.value
        return value >= bound if self.inclusive else value > bound


def parse_trigger(text: str) -> Trigger:
    """Raises ValueError for a wrong form, something that is not known while a run goes on, or a value without its unit."""
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not METRIC > VALUE; write it as memory.rss > 80% of limit")
    metric, operator, written = match["metric"], match["op"], match["value"]
    if operator not in (">", ">="):
        raise ValueError(f"operator {operator!r} in {text!r}: a trigger fires when something has grown; use > or >=")
    probe = _LATENCY.fullmatch(metric)
    if probe is None and metric not in LIVE:
        raise ValueError(f"no trigger can be about {metric!r}; {_near(metric)}")
    dimension: Dimension = "seconds" if probe else LIVE[metric][0]
    canonical = f"{metric} {operator} {written}"
    share = _OF_LIMIT.fullmatch(written)
    if share is None and "%" in written and metric.startswith("memory."):
        raise ValueError(f"{written!r} is a share of nothing; did you mean '{written.split()[0]} of limit'?")
    if share is not None and not metric.startswith("memory."):
        raise ValueError(f"{metric} has no limit to be a share of; write a value, such as {_example(dimension)}")
    value = parse(share["share"], "ratio") if share else quantity(written, dimension)
    if value <= 0 or (share is not None and value > 1):
        bounds = "between 0% and 100%" if share else "above 0"
        raise ValueError(f"{written!r} is not {bounds}")
    if probe is None:
        return Trigger(canonical, metric, operator == ">=", value, dimension, share is not None)
    quantile = metrics.QUANTILES[probe["quantile"]]
    return Trigger(canonical, metric, operator == ">=", value, dimension, probe=probe["probe"], quantile=quantile)


def _near(metric: str) -> str:
    """What was meant: often the name of a result, such as memory.rss.peak."""
    if metric.startswith("latency."):
        return "write latency.PROBE.p99 (or p50, p95, max)"
    try:
        metrics.resolve(metric)
    except ValueError:
        return suggest(metric, LIVE, title="known while a run goes on")
    base = max((name for name in LIVE if metric.startswith(name)), key=len, default=None)
    known = ", ".join([*LIVE, "latency.PROBE.p99"])
    return f"did you mean {base!r}?" if base else f"it is known only afterwards; while a run goes on: {known}"


def _example(dimension: Dimension) -> str:
    return {"bytes": "300Mi", "seconds": "5s"}.get(dimension, "500")


def _trigger(value: object) -> Trigger:
    if isinstance(value, Trigger):
        return value
    if not isinstance(value, str):
        raise fault(f"expected text such as memory.rss > 80% of limit, got {shown(value)}")
    return parse_trigger(value)


_TRIGGER: dict[str, Any] = {
    "type": "string",
    "pattern": ">",
    "examples": ["memory.rss > 80% of limit", "tasks > 500", "latency.flip.p99 > 5s"],
}
TriggerText = Annotated[
    Trigger, PlainValidator(_trigger), PlainSerializer(lambda trigger: trigger.text), WithJsonSchema(_TRIGGER)
]


class Profiling(Model):
    """When profilers look. See docs/profiling.md."""

    mode: Mode = Field(default="on-demand", description="`on-demand`: only in windows; `continuous`: all the time")
    windows: list[Text] = Field(default=[], max_length=50, description="phases of the load that are a window each")
    triggers: list[TriggerText] = Field(default=[], max_length=20, description="what opens a window while it holds")
    length: Seconds = Field(
        default=10.0, description="of a window that a trigger opens", json_schema_extra={"default": "10s"}
    )
    cool_down: Seconds = Field(
        default=60.0, description="after a window, until a trigger may open one", json_schema_extra={"default": "1m"}
    )
    at_most: Annotated[int, Field(ge=1, le=100)] = Field(default=5, description="windows that triggers may open")

    @property
    def on_demand(self) -> bool:
        """Whether it is a matter of windows."""
        return self.mode == "on-demand"

    @model_validator(mode="before")
    @classmethod
    def _word(cls, data: object) -> object:
        if not isinstance(data, str):
            return data
        if data in ("continuous", "on-demand"):
            return {"mode": data}
        hint = suggest(data, ("continuous", "on-demand"), title="write continuous, on-demand, or a mapping of")
        raise fault(f"unknown value {shown(data)}; {hint} (sets of values are under profiles)")

    @model_validator(mode="after")
    def _fits(self) -> Profiling:
        for key in ("windows", "triggers"):
            if self.mode == "continuous" and getattr(self, key):
                raise fault(f"{key} are of mode: on-demand; continuous looks all the time", key=key)
        for key in ("length", "cool_down", "at_most"):  # by value: what a record holds has every key
            if self.windows and not self.triggers and getattr(self, key) != type(self).model_fields[key].default:
                raise fault(f"{key} is about windows that triggers open, and there are no triggers", key=key)
        for index, name in enumerate(self.windows):
            if name in self.windows[:index]:
                raise fault(f"window {name!r} is named twice; remove one", key="windows")
        return self

    @property
    def armed(self) -> list[Trigger]:
        """The triggers in force: `on-demand` alone, without windows, has one about the memory limit."""
        if not self.on_demand or self.windows or self.triggers:
            return self.triggers
        return [parse_trigger(DEFAULT_TRIGGER)]


DEFAULT_TRIGGER = "memory.rss > 80% of limit"
"""Of `profile: on-demand` alone."""
