"""`latency.flip.p99 < 30s`: what a scenario expects of one result, as text and as its parts."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, cast

from harness.core import metrics
from harness.core.metrics import MetricName
from harness.core.units import Dimension, parse

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
OPERATORS: tuple[Operator, ...] = ("==", "!=", "<=", ">=", "<", ">")

FORM = re.compile(r"\s*(?P<metric>[^\s=!<>]+)\s*(?P<op>[=!<>]+)\s*(?P<value>[^\s=!<>].*?)\s*")
"""A comparison as it is written, of a trigger too."""
_UNITS: dict[Dimension, str] = {"bytes": "B", "seconds": "s", "per_second": "/s", "ratio": "", "count": ""}


@dataclass(frozen=True, slots=True)
class Expectation:
    """A comparison of one result with a value.

    `metric` is the name under which the result is found, kinds by their alias; `value` is in base units of `dimension`.
    """

    text: str
    """`METRIC OP VALUE`, one space between, as the record and the report show it."""
    metric: str
    op: Operator
    value: float
    dimension: Dimension


def canonical(name: MetricName) -> str:
    """The name under which results are filed: kinds by their alias."""
    text = name.metric.name
    for placeholder, value in (("KIND", name.kind), ("PROBE", name.probe), ("VERB", name.verb)):
        text = text.replace(placeholder, value or "")
    return text


def parse_expectation(text: str) -> Expectation:
    """Raises ValueError for a wrong form, an unknown metric or a value without its unit."""
    match = FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not METRIC OPERATOR VALUE; write it as oom.kills == 0")
    operator = match["op"]
    if operator not in OPERATORS:
        hint = "did you mean '=='?" if operator == "=" else f"operators: {', '.join(OPERATORS)}"
        raise ValueError(f"unknown operator {operator!r} in {text!r}; {hint}")
    name = metrics.resolve(match["metric"])
    value = quantity(match["value"], name.metric.dimension)
    metric = canonical(name)
    return Expectation(
        f"{metric} {operator} {match['value']}", metric, cast("Operator", operator), value, name.metric.dimension
    )


def quantity(value: str | float, dimension: Dimension) -> float:
    """A finite number in the base unit of `dimension`. Raises ValueError that names the units."""
    number = parse(value, dimension)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is too large")
    return number


def render(value: float, dimension: Dimension) -> str:
    """The shortest text that `quantity` reads back to exactly `value`."""
    return f"{int(value) if float(value).is_integer() else repr(value)}{_UNITS[dimension]}"
