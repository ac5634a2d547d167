"""JSONPath as `kubectl wait --for=jsonpath` takes it: what a probe waits for in an object.

A subset that needs no guessing: fields (`.status.phase`, `['a.b']`, `.metadata.labels.example\\.com/x`), indexes (`[0]`, `[-1]`),
all items (`[*]`) and items by a field (`[?(@.type=="Ready")]`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

_Step = Callable[[object], Iterator[object]]

_FIELD = re.compile(r"\.((?:[\w$/-]|\\.)+)")
_QUOTED = re.compile(r"""\[(?:'([^']+)'|"([^"]+)")\]""")
_INDEX = re.compile(r"\[(-?\d{1,6}|\*)\]")
_FILTER = re.compile(r"""\[\?\(\s*@\.([\w.$/-]+)\s*==\s*(?:'([^']*)'|"([^"]*)"|([\w.-]+))\s*\)\]""")


@dataclass(frozen=True, slots=True)
class JSONPath:
    """A path that was read; `text` as it was written."""

    text: str
    steps: tuple[_Step, ...]

    def find(self, item: object) -> list[object]:
        """Every value at the path, none where it is not there."""
        found = [item]
        for step in self.steps:
            found = [value for each in found for value in step(each)]
        return found

    def holds(self, item: object, equals: str | None) -> bool:
        """Whether a value at the path is `equals`; without it, whether there is one (that is not null)."""
        values = [value for value in self.find(item) if value is not None]
        return bool(values) if equals is None else any(_shown(value) == equals for value in values)


def parse(text: str) -> JSONPath:
    """Read `{.status.phase}` (the braces and the dollar may be left out). Raises ValueError that says where it ends."""
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1].strip()
    inner = inner.removeprefix("$")
    steps: list[_Step] = []
    position = 0
    while position < len(inner):
        step, position_after = _step(inner, position)
        if step is None:
            rest = inner[position:]
            raise ValueError(f"{text!r} is not a JSONPath that is known here, from {rest!r} on; as {{.status.phase}}")
        steps.append(step)
        position = position_after
    if not steps:
        raise ValueError(f"{text!r} is not a JSONPath; as {{.status.phase}}")
    return JSONPath(text, tuple(steps))


def _step(text: str, position: int) -> tuple[_Step | None, int]:
    if match := _FIELD.match(text, position):
        return _field(re.sub(r"\\(.)", r"\1", match[1])), match.end()
    if match := _QUOTED.match(text, position):
        return _field(match[1] or match[2]), match.end()
    if match := _INDEX.match(text, position):
        return _index(match[1]), match.end()
    if match := _FILTER.match(text, position):
        wanted = next(group for group in match.groups()[1:] if group is not None)
        return _where(match[1].split("."), wanted), match.end()
    return None, position


def _field(name: str) -> _Step:
    def step(item: object) -> Iterator[object]:
        if isinstance(item, Mapping) and name in item:
            yield item[name]

    return step


def _index(text: str) -> _Step:
    def step(item: object) -> Iterator[object]:
        if isinstance(item, list):
            if text == "*":
                yield from item
            elif -len(item) <= int(text) < len(item):
                yield item[int(text)]
        elif isinstance(item, Mapping) and text == "*":
            yield from item.values()

    return step


def _where(names: list[str], wanted: str) -> _Step:
    fields = [_field(name) for name in names]

    def step(item: object) -> Iterator[object]:
        for each in item if isinstance(item, list) else ():
            values = [each]
            for field in fields:
                values = [value for outer in values for value in field(outer)]
            if any(_shown(value) == wanted for value in values):
                yield each

    return step


def _shown(value: object) -> str:
    """A value as kubectl prints it, for comparison with text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)
