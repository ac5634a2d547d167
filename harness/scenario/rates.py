"""How fast the requests of a step begin: a constant rate, `max`, or a rate that changes over the step.

In a file: `200/s`, `max`, `{poisson: 50/s}`, `{ramp: [10/s, 200/s], over: 30s}`, `{steps: [50/s, 100/s], each: 10s}`,
`{burst: {size: 100, every: 5s}}`, `{step_until_failure: [50/s, 1000/s], by: 50/s, each: 10s}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from harness.core.handles import JSON
from harness.scenario.expectation import render
from harness.scenario.fields import MAX_COUNT, RATE_SCHEMA, fault, one_rate, one_seconds, rate_or_max, unknown_key
from harness.scenario.hints import shown, suggest

_MOST_STEPS = 1000


@dataclass(frozen=True, slots=True)
class Changing:
    """A rate that changes. `kind` is its name in the file, `first` what stands there, `beside` the other keys."""

    kind: str
    rates: tuple[float, ...]
    """Requests per second; empty for a burst."""
    seconds: float = 0.0
    """`over`, `each` or `every`."""
    size: int = 0
    by: float = 0.0

    @property
    def until_failure(self) -> bool:
        """Whether it looks for the highest rate that can be kept; falling short is then what it finds."""
        return self.kind == "step_until_failure"

    def written(self) -> dict[str, Any]:
        """As it stands in a file."""
        texts = [render(rate, "per_second") for rate in self.rates]
        time = render(self.seconds, "seconds")
        match self.kind:
            case "poisson":
                return {"poisson": texts[0]}
            case "ramp":
                return {"ramp": texts, "over": time}
            case "steps":
                return {"steps": texts, "each": time}
            case "burst":
                return {"burst": {"size": self.size, "every": time}}
            case _:
                return {"step_until_failure": texts, "by": render(self.by, "per_second"), "each": time}

    def planned(self) -> dict[str, JSON]:
        """As it stands in a plan."""
        match self.kind:
            case "poisson":
                return {"poisson": self.rates[0]}
            case "ramp":
                return {"ramp": list(self.rates), "over_s": self.seconds}
            case "steps":
                return {"steps": list(self.rates), "each_s": self.seconds}
            case "burst":
                return {"burst": self.size, "every_s": self.seconds}
            case _:
                first, last = self.rates
                return {"until_failure": first, "to": last, "by": self.by, "each_s": self.seconds}


AnyRate: TypeAlias = float | Changing | None


def planned(rate: AnyRate) -> JSON:
    """The `rate` of a plan's phase."""
    return rate.planned() if isinstance(rate, Changing) else rate


def words(rate: AnyRate) -> str | None:
    """A changing rate for people, in one line; None for a constant one and for `max`."""
    if not isinstance(rate, Changing):
        return None
    if rate.kind == "burst":
        return f"burst of {rate.size} every {render(rate.seconds, 'seconds')}"
    joined = {key: " to ".join(value) if isinstance(value, list) else value for key, value in rate.written().items()}
    return " ".join(f"{key} {value}" for key, value in joined.items())


def _poisson(data: dict[str, object]) -> Changing:
    return Changing("poisson", (_rate(data, "poisson"),))


def _ramp(data: dict[str, object]) -> Changing:
    return Changing("ramp", _rates(data, "ramp", 2, 2), _seconds(data, "over"))


def _steps(data: dict[str, object]) -> Changing:
    return Changing("steps", _rates(data, "steps", 1, _MOST_STEPS), _seconds(data, "each"))


def _burst(data: dict[str, object]) -> Changing:
    inner = data["burst"]
    if not isinstance(inner, dict) or set(inner) != {"size", "every"}:
        raise fault(f"burst needs size and every, as {_EXAMPLES['burst']}", key="burst")
    size = inner["size"]
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= MAX_COUNT:
        raise fault(f"size is how many requests begin at once, not {shown(size)}", key="burst")
    return Changing("burst", (), _at("burst", one_seconds, inner["every"]), size)


def _step_until_failure(data: dict[str, object]) -> Changing:
    first, last = _rates(data, "step_until_failure", 2, 2)
    by = _rate(data, "by")
    if last < first:
        raise fault("it steps up, but its last rate is below its first; exchange them", key="step_until_failure")
    if (last - first) / by > _MOST_STEPS:
        raise fault(f"more than {_MOST_STEPS} steps; raise by", key="by")
    return Changing("step_until_failure", (first, last), _seconds(data, "each"), by=by)


_FORMS: dict[str, tuple[tuple[str, ...], Callable[[dict[str, object]], Changing]]] = {
    "poisson": ((), _poisson),
    "ramp": (("over",), _ramp),
    "steps": (("each",), _steps),
    "burst": ((), _burst),
    "step_until_failure": (("by", "each"), _step_until_failure),
}


def _parse(value: object) -> AnyRate:
    if isinstance(value, Changing):
        return value
    if not isinstance(value, dict):
        return rate_or_max(value)
    kind = next((key for key in value if key in _FORMS), None)
    if kind is None:
        key = str(next(iter(value), ""))
        raise fault(f"unknown rate {key!r}; {suggest(key, _FORMS, title='rates that change')}")
    keys, parse = _FORMS[kind]
    for key in value:
        if key not in (kind, *keys):
            raise unknown_key(str(key), [kind, *keys])
    for key in keys:
        if key not in value:
            raise fault(f"{kind} needs {key}, as {_EXAMPLES[kind]}")
    return parse(value)


_EXAMPLES = {
    "poisson": "{poisson: 50/s}",
    "ramp": "{ramp: [10/s, 200/s], over: 30s}",
    "steps": "{steps: [50/s, 100/s], each: 10s}",
    "burst": "{burst: {size: 100, every: 5s}}",
    "step_until_failure": "{step_until_failure: [50/s, 1000/s], by: 50/s, each: 10s}",
}


def _at(key: str, parse: Callable[[object], float], value: object) -> float:
    try:
        return parse(value)
    except ValueError as error:
        raise fault(str(error), key=key) from None


def _rate(data: dict[str, object], key: str) -> float:
    return _at(key, one_rate, data[key])


def _seconds(data: dict[str, object], key: str) -> float:
    return _at(key, one_seconds, data[key])


def _rates(data: dict[str, object], key: str, least: int, most: int) -> tuple[float, ...]:
    value = data[key]
    if not isinstance(value, list | tuple) or not least <= len(value) <= most:
        raise fault(f"expected a list of rates, as {_EXAMPLES[key]}", key=key)
    return tuple(_at(key, one_rate, item) for item in value)


def _schema() -> dict[str, Any]:
    filler = {"type": ["string", "integer"]}
    forms = [
        {
            "type": "object",
            "properties": {kind: {"type": ["string", "object", "array"]}, **dict.fromkeys(keys, filler)},
            "required": [kind, *keys],
            "additionalProperties": False,
        }
        for kind, (keys, _) in _FORMS.items()
    ]
    return {"anyOf": [RATE_SCHEMA, *forms]}


Pace = Annotated[
    AnyRate,
    PlainValidator(_parse),
    PlainSerializer(
        lambda value: (
            value.written() if isinstance(value, Changing) else "max" if value is None else render(value, "per_second")
        )
    ),
    WithJsonSchema(_schema()),
]
"""The `rate` of a step; None is `max`."""
