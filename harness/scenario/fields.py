"""Types of the fields of a scenario: quantities with units, kinds, expectations.

Each takes what a person writes and, because a run record holds the filled scenario, dumps to text that reads back to
exactly the same value: `{"timeout": "600s"}`, never a bare number whose unit one must know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from harness.core import jsonpath, kinds
from harness.core.units import Dimension
from harness.scenario.expectation import Expectation, parse_expectation, quantity, render
from harness.scenario.hints import shown, suggest

MAX_COUNT = 1_000_000
MAX_RATE = 100_000.0
MAX_SECONDS = 24 * 3600.0
MAX_OBJECT_BYTES = 2**20  # the API server refuses Secrets above 1 MiB
MAX_PORT = 65535

_BOUND_UNITS: dict[Dimension, tuple[tuple[str, float], ...]] = {
    "bytes": (("PiB", 2**50), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1)),
    "seconds": (("h", 3600), ("min", 60), ("s", 1)),
}

Scalar: TypeAlias = str | int | float | bool | None
ParamValue: TypeAlias = Scalar | list[Scalar]


def fault(message: str, *, key: str | None = None) -> PydanticCustomError:
    """An error inside a validator; `key` names the field of the model that it is about."""
    return PydanticCustomError("fault", "{message}", {"message": message, "key": key})


def unknown_key(key: str, known: Iterable[str], *, remedy: str | None = None) -> PydanticCustomError:
    """The error about a key that a mapping does not have."""
    hint = remedy or suggest(key, known, title="keys here")
    return PydanticCustomError(
        "fault", "{message}", {"message": f"unknown key {key!r}; {hint}", "key": key, "at": "key"}
    )


class Model(BaseModel):
    """Base of all parts of a scenario: strict, frozen, and helpful about keys it does not know."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: object) -> object:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise unknown_key(str(key), [name for name in cls.model_fields if name != "action"])
        return data


def _wanted(value: object, example: str) -> str | int | float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise fault(f"expected {example}, got {shown(value)}")
    return value


def _within(value: float, low: float, high: float, dimension: Dimension, given: object) -> float:
    if not low <= value <= high:
        raise fault(f"{shown(given)} is not between {_bound(low, dimension)} and {_bound(high, dimension)}")
    return value


def _bound(value: float, dimension: Dimension) -> str:
    """A limit as a person would write it: in the largest unit of which it is a whole number."""
    for unit, factor in _BOUND_UNITS.get(dimension, ()):
        if value >= factor and value % factor == 0:
            return f"{value / factor:g} {unit}"
    return render(value, dimension)


def one_seconds(value: object) -> float:
    """A duration in seconds."""
    number = quantity(_wanted(value, "a duration such as 30s or 10m"), "seconds")
    return _within(number, 0.1, MAX_SECONDS, "seconds", value)


def rate_or_max(value: object) -> float | None:
    """A rate; None for `max`."""
    return None if value is None or value == "max" else one_rate(value)


def one_rate(value: object) -> float:
    """Requests per second."""
    number = quantity(_wanted(value, "a rate such as 200/s, or max"), "per_second")
    return _within(number, 0.001, MAX_RATE, "per_second", value)


def _memory(value: object) -> int:
    number = quantity(_wanted(value, "a size such as 512Mi"), "bytes")
    return round(_within(number, 2**20, 2**50, "bytes", value))


def object_bytes(value: object) -> int:
    """The size of an object's payload."""
    number = quantity(_wanted(value, "a size such as 3KB, or two as in [2KB, 5KB]"), "bytes")
    return round(_within(number, 1, MAX_OBJECT_BYTES, "bytes", value))


def size_range(value: object) -> tuple[int, int]:
    """Smallest and largest size of a payload."""
    if not isinstance(value, list | tuple):
        number = object_bytes(value)
        return number, number
    if len(value) != 2:
        raise fault(f"a range of sizes has two ends, as [2KB, 5KB], not {len(value)}")
    low, high = (object_bytes(item) for item in value)
    if low > high:
        raise fault(f"the range ends ({shown(value[1])}) below its start ({shown(value[0])})")
    return low, high


def _kind(value: object) -> str:
    if not isinstance(value, str):
        raise fault(f"expected a kind such as Secret, got {shown(value)}")
    return kinds.find(value).alias


def _jsonpath(value: object) -> str:
    if not isinstance(value, str):
        raise fault(f"expected a JSONPath such as '{{.status.phase}}', got {shown(value)}")
    jsonpath.parse(value)
    return value


def _equals(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    raise fault(f"expected a plain value, got {shown(value)}")


def _probe_label(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.-]*(\{cause\})?[A-Za-z0-9_.-]*", value) and value:
        return value
    raise fault(f"expected a label value, or one with {{cause}} in it, got {shown(value)}")


def _expectation(value: object) -> Expectation:
    if isinstance(value, Expectation):
        return value
    if not isinstance(value, str):
        raise fault(f"expected text such as oom.kills == 0, got {shown(value)}")
    return parse_expectation(value)


CollectorLiteral = Literal["memory", "oom", "tasks", "metrics", "audit", "latency", "host"]


def _collector(value: object) -> str:
    names = get_args(CollectorLiteral)
    if value in names:
        return str(value)
    if value in ("memray", "pyroscope"):
        setting = "memray: launch" if value == "memray" else "pyroscope: on"
        raise fault(f"{value} is not in collect but a key of its own; write {setting} at the top level")
    raise fault(f"unknown collector {shown(value)}; {suggest(str(value), names, title='collectors')}")


def _param(value: object) -> ParamValue:
    items = value if isinstance(value, list) else [value]
    if all(item is None or isinstance(item, str | int | float) for item in items):
        return value  # type: ignore[return-value]  # mypy cannot narrow the list by its items
    raise fault(f"expected a plain value or a list of them, got {shown(value)}")


def _option(value: object) -> Scalar:
    if isinstance(value, str | int | float):
        return value
    raise fault(f"expected a plain value such as 50 or always, got {shown(value)}")


def _url(value: object) -> str:
    if isinstance(value, str) and re.match(r"https?://[^/\s]+", value):
        port = re.match(r"https?://[^/\s]*:(\d+)(?:[/?#]|$)", value)
        if port is not None and not 1 <= int(port[1]) <= MAX_PORT:
            raise fault(f"{port[1]} in {shown(value)} is not a port; there are 1 to {MAX_PORT}, and {{port:NAME}}")
        return value
    raise fault(f"expected an address such as http://127.0.0.1:{{port:metrics}}/metrics, got {shown(value)}")


def _label_text(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", value):
        return value
    raise fault(f"expected a label value (up to 63 letters, digits, '-', '_', '.'), got {shown(value)}")


def _label_key(value: object) -> str:
    name = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
    if isinstance(value, str) and re.fullmatch(rf"([a-z0-9]([a-z0-9.-]{{0,251}}[a-z0-9])?/)?{name}", value):
        if value.startswith("harness.dev/"):
            raise fault(f"label {value!r} is the harness's own")
        return value
    raise fault(f"{value!r} is not a label key")


def _dumps(dimension: Dimension) -> PlainSerializer:
    def dump(value: float | None) -> str | None:
        return None if value is None else render(value, dimension)

    return PlainSerializer(dump, return_type=str | None)


def _text(pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "examples": list(examples)})


_NUMBER = r"[0-9.]+(e[+-]?[0-9]+)?"
_SIZE = r"^[0-9.]+ ?(B|[KMG]B?|kB|[KMG]iB?)?$"

Seconds = Annotated[
    float, PlainValidator(one_seconds), _dumps("seconds"), _text(rf"^{_NUMBER} ?(ns|us|µs|ms|s|m|min|h)$", "30s", "10m")
]
"""A duration; seconds, as a float."""

RATE_SCHEMA = {"type": "string", "pattern": rf"^(max|{_NUMBER} ?/(s|min))$", "examples": ["200/s", "max"]}

Memory = Annotated[
    int,
    PlainValidator(_memory),
    _dumps("bytes"),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string", "pattern": _SIZE}], "examples": ["512Mi"]}),
]
"""Bytes of memory."""

_ONE_SIZE = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _SIZE}]}
SIZE_RANGE_SCHEMA: dict[str, Any] = {
    "anyOf": [*_ONE_SIZE["anyOf"], {"type": "array", "items": _ONE_SIZE, "minItems": 2, "maxItems": 2}],
    "examples": ["3KB", ["2KB", "5KB"]],
}

KindName = Annotated[
    str, PlainValidator(_kind), WithJsonSchema({"type": "string", "examples": [kind.alias for kind in kinds.KINDS]})
]
"""Alias of a kind in `core.kinds`."""

CollectorName = Annotated[
    CollectorLiteral,
    PlainValidator(_collector),
    WithJsonSchema({"type": "string", "enum": list(get_args(CollectorLiteral))}),
]
"""Name of a witness."""

Expect = Annotated[
    Expectation,
    PlainValidator(_expectation),
    PlainSerializer(lambda value: value.text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["oom.kills == 0", "latency.flip.p99 < 30s"]}),
]
"""An expectation, written as text."""

_SCALAR_TYPES = ["string", "integer", "number", "boolean"]
Param = Annotated[
    ParamValue,
    PlainValidator(_param),
    WithJsonSchema(
        {"type": [*_SCALAR_TYPES, "null", "array"], "items": {"type": [*_SCALAR_TYPES, "null"]}, "examples": [300]}
    ),
]
"""Value of a parameter."""

Option = Annotated[str | int | float | bool, PlainValidator(_option), WithJsonSchema({"type": _SCALAR_TYPES})]
"""Value of a controller's option."""

Url = Annotated[str, PlainValidator(_url), _text("^https?://", "http://127.0.0.1:{port:metrics}/metrics")]
JSONPathText = Annotated[str, PlainValidator(_jsonpath), _text(r"[.\[]", "{.status.phase}")]
Equals = Annotated[str, PlainValidator(_equals), WithJsonSchema({"type": ["string", "number", "boolean"]})]
ProbeLabel = Annotated[str, PlainValidator(_probe_label), _text(r"^[\w.-]*(\{cause\})?[\w.-]*$", "{cause}")]
"""Value of a label by which a probe finds an effect; `{cause}` is the name of the object that caused it."""

LabelKey = Annotated[str, PlainValidator(_label_key), WithJsonSchema({"type": "string"})]
LabelValue = Annotated[str, PlainValidator(_label_text), WithJsonSchema({"type": "string"})]


def named(what: str, pattern: str) -> Callable[[object], str]:
    """A validator of names: text that matches `pattern`, else an error that says what it should be."""

    def check(value: object) -> str:
        if isinstance(value, str) and re.fullmatch(pattern, value):
            return value
        raise fault(f"{shown(value)} is not {what}")

    return check


def _name_type(what: str, pattern: str) -> tuple[PlainValidator, WithJsonSchema]:
    return PlainValidator(named(what, pattern)), WithJsonSchema({"type": "string", "pattern": f"^{pattern}$"})


_SLUG = r"[a-z0-9][a-z0-9-]{0,39}"
Slug = Annotated[str, *_name_type("a name of up to 40 lower-case letters, digits and '-'", _SLUG)]
ProbeName = Annotated[
    str, *_name_type("a probe's name (lower-case letters, digits, '-', '_')", r"[a-z][a-z0-9_-]{0,39}")
]
ParamName = Annotated[str, *_name_type("a parameter's name (letters, digits, '_', '-', '.')", r"[A-Za-z][\w.-]{0,59}")]
EnvName = Annotated[str, *_name_type("the name of an environment variable", r"[A-Za-z_][A-Za-z0-9_]{0,99}")]
Condition = Annotated[str, *_name_type("the type of a status condition, such as Ready", r"[A-Za-z][\w./-]{0,99}")]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]

Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
Concurrency = Annotated[int, Field(ge=1, le=1024)]
