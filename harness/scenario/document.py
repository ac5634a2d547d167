"""A YAML text as plain data that remembers where everything stood.

Read from parser events rather than with a YAML constructor: every value keeps its line and column for error messages,
aliases are refused before anything could expand, and scalars follow YAML 1.2's core schema, in which `on`, `off`, `yes`
and `no` are words (they are values of switches here) and only `true` and `false` are booleans.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from harness.core.errors import ScenarioError

Plain: TypeAlias = "str | int | float | bool | list[Plain] | dict[str, Plain] | None"
Path: TypeAlias = "tuple[str | int, ...]"

MAX_BYTES = 256 * 1024
_MAX_DEPTH = 20
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,30}\.[0-9]{0,30}|\.[0-9]{1,30}|[0-9]{1,30})(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(slots=True)
class Document:
    """The data of one file, and the position of each value and key by its path."""

    display: str
    """The file as errors call it."""
    data: dict[str, Plain]
    values: dict[Path, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def place(self, path: Path, *, key: bool = False) -> str:
        """`file:line:column` of the value at `path` (of its key with `key`), or of what encloses it."""
        line, column = self.position(path, key=key)
        return f"{self.display}:{line}:{column}"

    def position(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column, both from 1."""
        if key and path in self.keys:
            return self.keys[path]
        while path not in self.values and path:
            path = path[:-1]
        return self.values.get(path, (1, 1))


def parse_document(text: str, display: str) -> Document:
    """The one mapping that `text` holds. Raises ScenarioError with file:line:column for anything else."""
    builder = _Builder(display)
    data = builder.read(text)
    if not isinstance(data, dict):
        raise ScenarioError("a scenario is a mapping of keys", place=f"{display}:1:1", remedy="see docs/scenarios.md")
    return Document(display, data, builder.values, builder.keys)


def parse_value(text: str, place: str) -> Plain:
    """A value from the command line, read as the file's values are: `3`, `off`, `64KB`, `[2KB, 5KB]`."""
    return _Builder(place, fixed=True).read(text)


def plain_scalar(text: str) -> str | int | float | bool | None:
    """An unquoted YAML scalar by the core schema."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    return text


def _position(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


class _Builder:
    """Builds the data from events, recursively, to a bounded depth."""

    def __init__(self, display: str, *, fixed: bool = False) -> None:
        self.display = display
        self.fixed = fixed
        self.values: dict[Path, tuple[int, int]] = {}
        self.keys: dict[Path, tuple[int, int]] = {}

    def read(self, text: str) -> Plain:
        try:
            events = yaml.parse(text, Loader=yaml.CSafeLoader)
            next(events)  # the start of the stream
            if isinstance(next(events), yaml.StreamEndEvent):
                return None
            value = self._value(next(events), events, ())
            next(events)  # the end of the document
            after = next(events)
            if not isinstance(after, yaml.StreamEndEvent):
                raise self._fault(after, "a second YAML document begins", "keep one scenario in a file")
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise self._error(where, f"not valid YAML: {error.problem or error.context}", None) from None
        except yaml.reader.ReaderError as error:
            # its position counts bytes or characters, by which of PyYAML's readers it is: the character itself is looked for
            wrong = chr(error.character) if isinstance(error.character, int) else str(error.character)
            before = text[: max(0, text.find(wrong))]
            where = (before.count("\n") + 1, len(before) - before.rfind("\n"))
            raise self._error(where, f"character U+{ord(wrong[:1] or '?'):04X} is not allowed in YAML", None) from None
        return value

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Plain:
        self.values[path] = _position(event)
        if isinstance(event, yaml.AliasEvent):
            raise self._fault(event, "YAML aliases are not accepted", "write the value out, or use a {placeholder}")
        if getattr(event, "anchor", None) is not None:
            raise self._fault(event, "YAML anchors are not accepted", "remove the anchor")
        if getattr(event, "tag", None) is not None:
            raise self._fault(event, "YAML tags are not accepted", "remove the tag")
        if len(path) >= _MAX_DEPTH:
            raise self._fault(event, f"nested more than {_MAX_DEPTH} deep", "see docs/scenarios.md")
        if isinstance(event, yaml.ScalarEvent):
            return plain_scalar(event.value) if event.implicit[0] else str(event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        return self._mapping(events, path)

    def _sequence(self, events: Iterator[yaml.Event], path: Path) -> list[Plain]:
        items: list[Plain] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._value(event, events, (*path, len(items))))
        return items

    def _mapping(self, events: Iterator[yaml.Event], path: Path) -> dict[str, Plain]:
        mapping: dict[str, Plain] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent) or event.tag is not None or event.anchor is not None:
                raise self._fault(event, "a key must be plain text", "see docs/scenarios.md")
            key = str(event.value)
            here = (*path, key)
            if key in mapping:
                raise self._fault(event, f"key {key!r} stands twice", f"the first is in line {self.keys[here][0]}")
            self.keys[here] = _position(event)
            mapping[key] = self._value(next(events), events, here)
        return mapping

    def _fault(self, event: yaml.Event, cause: str, remedy: str) -> ScenarioError:
        return self._error(_position(event), cause, remedy)

    def _error(self, where: tuple[int, int], cause: str, remedy: str | None) -> ScenarioError:
        place = self.display if self.fixed else f"{self.display}:{where[0]}:{where[1]}"
        return ScenarioError(cause, place=place, remedy=remedy)
