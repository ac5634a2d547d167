"""How large payloads are: two ends, or a distribution with a heavy tail, drawn by the seed for each object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from harness.core.handles import JSON
from harness.scenario.expectation import render
from harness.scenario.fields import SIZE_RANGE_SCHEMA, fault, object_bytes, size_range, unknown_key
from harness.scenario.hints import shown, suggest

DEFAULT_MAX = 900_000
"""Where a tail is cut off unless the scenario says: the API server refuses more than 1 MiB."""

_PARTS = {"lognormal": ("median", "sigma"), "pareto": ("min", "alpha")}
_EXAMPLES = {
    "lognormal": "{lognormal: {median: 3KB, sigma: 1.0}, max: 900KB}",
    "pareto": "{pareto: {min: 1KB, alpha: 1.2}, max: 900KB}",
}


@dataclass(frozen=True, slots=True)
class Distribution:
    """Sizes with a heavy tail: lognormal (`scale` is the median, `shape` sigma) or Pareto (smallest, alpha)."""

    kind: str
    scale: int
    shape: float
    max: int

    def written(self) -> dict[str, Any]:
        """As it stands in a file."""
        scale, shape = _PARTS[self.kind]
        return {self.kind: {scale: render(self.scale, "bytes"), shape: self.shape}, "max": render(self.max, "bytes")}

    def planned(self, smallest: int) -> dict[str, JSON]:
        """As it stands in a plan; nothing is drawn below `smallest`."""
        inner = {"lognormal": ("median", "sigma"), "pareto": ("smallest", "alpha")}[self.kind]
        return {self.kind: {inner[0]: self.scale, inner[1]: self.shape}, "min": smallest, "max": self.max}


AnySize: TypeAlias = tuple[int, int] | Distribution


def _parse(value: object) -> AnySize:
    if isinstance(value, Distribution):
        return value
    if not isinstance(value, dict):
        return size_range(value)
    kind = next((key for key in value if key in _PARTS), None)
    if kind is None:
        key = str(next(iter(value), ""))
        raise fault(f"unknown distribution {key!r}; {suggest(key, _PARTS, title='distributions')}")
    for key in value:
        if key not in (kind, "max"):
            raise unknown_key(str(key), [kind, "max"])
    inner, (scale, shape) = value[kind], _PARTS[kind]
    if not isinstance(inner, dict) or set(inner) != {scale, shape}:
        raise fault(f"{kind} needs {scale} and {shape}, as {_EXAMPLES[kind]}", key=kind)
    number = inner[shape]
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0.01 <= number <= 10:
        raise fault(f"{shape} is a number between 0.01 and 10, not {shown(number)}", key=kind)
    made = Distribution(kind, object_bytes(inner[scale]), float(number), object_bytes(value.get("max", DEFAULT_MAX)))
    if made.max < made.scale:
        raise fault(f"max is below {scale}; raise it", key="max")
    return made


_OBJECT: dict[str, Any] = {"type": "object", "minProperties": 1, "maxProperties": 2}

Size = Annotated[
    AnySize,
    PlainValidator(_parse),
    PlainSerializer(
        lambda value: value.written() if isinstance(value, Distribution) else [render(end, "bytes") for end in value]
    ),
    WithJsonSchema({"anyOf": [*SIZE_RANGE_SCHEMA["anyOf"], _OBJECT], "examples": SIZE_RANGE_SCHEMA["examples"]}),
]
"""Sizes of the payloads of a step, in bytes."""
