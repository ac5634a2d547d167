"""Reads pprof profiles: the protobuf message `perftools.profiles.Profile`, mostly gzip'd.

Only what stacks need is decoded, straight from the wire format; there is no generated code to keep in step.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_GZIP = b"\x1f\x8b"
MOST_BYTES = 256 << 20
"""Of a profile that is unpacked: a thousand times what a controller's heap profile has. A few KiB can unpack to gigabytes."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message. Raises ValueError where it is none."""
    at, end = 0, len(data)
    while at < end:
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError("not a protobuf message: field 0")
        value: int | bytes
        if wire == _VARINT:
            value, at = _varint(data, at)
        else:
            if wire == _BYTES:
                size, at = _varint(data, at)
            elif wire in (_FIXED64, _FIXED32):
                size = 8 if wire == _FIXED64 else 4
            else:
                raise ValueError(f"not a protobuf message: wire type {wire}")
            if at + size > end:
                raise ValueError("not a protobuf message: cut short")
            value, at = data[at : at + size], at + size
        yield number, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("not a protobuf message: broken number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def numbers(value: int | bytes) -> list[int]:
    """A repeated number: one, or many packed."""
    if isinstance(value, int):
        return [value]
    found, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        found.append(number)
    return found


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("not a profile: a number where a message is due")  # noqa: TRY004  # as below
    return value


def _int(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise ValueError("not a profile: a message where a number is due")  # noqa: TRY004  # the input is wrong, not the caller
    return value


@dataclass(slots=True)
class Profile:
    """A decoded profile. `samples`: location ids, leaf first, and a value for each sample type at least."""

    types: list[tuple[str, str]] = field(default_factory=list)
    """Name and unit of each value, such as `("cpu", "nanoseconds")`."""
    period: tuple[str, str] = ("", "")
    """Name and unit of what was sampled by, such as `("space", "bytes")`. A Pyroscope server makes it part of a type's name."""
    samples: list[tuple[list[int], list[int]]] = field(default_factory=list)
    frames: dict[int, list[str]] = field(default_factory=dict)
    """Functions of each location, innermost first."""
    places: dict[int, list[tuple[str, str, int]]] = field(default_factory=dict)
    """Function, file and line of each location, innermost first."""

    def folded(self, type_: str) -> Counter[str]:
        """Value of the sample type by stack, outermost function first, joined by semicolons."""
        names = [name for name, _ in self.types]
        stacks: Counter[str] = Counter()
        if type_ not in names:
            return stacks
        column = names.index(type_)
        for locations, values in self.samples:
            path = [name for location in reversed(locations) for name in reversed(self.frames.get(location, []))]
            stacks[";".join(path) or "(unknown)"] += values[column]
        return stacks


def unpacked(raw: bytes) -> bytes:
    """The message without its compression. Raises ValueError for what is no profile at all, with what it is instead."""
    if raw.lstrip()[:1] == b"<":
        raise ValueError("not a profile but a web page")
    if not raw:
        raise ValueError("not a profile: it is empty")
    if not raw.startswith(_GZIP):
        return raw
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            message = file.read(MOST_BYTES + 1)
    except EOFError as error:
        raise ValueError("not a whole profile: it was cut short") from error
    except (OSError, zlib.error) as error:
        raise ValueError(f"not a profile: {error}") from error
    if len(message) > MOST_BYTES:
        raise ValueError(f"not a profile: it unpacks to more than {MOST_BYTES >> 20} MiB")
    return message


def decode(raw: bytes) -> Profile:
    """Decode a profile, gzip'd or not. Raises ValueError where it is none."""
    data = unpacked(raw)
    strings: list[str] = []
    types: list[tuple[int, int]] = []
    period = (0, 0)
    functions: dict[int, tuple[int, int]] = {}
    lines: dict[int, list[tuple[int, int]]] = {}
    profile = Profile()
    for number, value in fields(data):
        if number == 1:
            pair = dict(fields(_bytes(value)))
            types.append((_int(pair.get(1, 0)), _int(pair.get(2, 0))))
        elif number == 2:
            profile.samples.append(_sample(_bytes(value)))
        elif number == 4:
            location, called = _location(_bytes(value))
            lines[location] = called
        elif number == 5:
            function = dict(fields(_bytes(value)))
            functions[_int(function.get(1, 0))] = (_int(function.get(2, 0)), _int(function.get(4, 0)))
        elif number == 6:
            strings.append(_bytes(value).decode(errors="replace"))
        elif number == 11:
            pair = dict(fields(_bytes(value)))
            period = _int(pair.get(1, 0)), _int(pair.get(2, 0))
    try:
        profile.types = [(strings[name], strings[unit]) for name, unit in types]
        profile.period = (strings[period[0]], strings[period[1]]) if strings else ("", "")
        named = {key: (strings[name], strings[file]) for key, (name, file) in functions.items()}
    except IndexError as error:
        raise ValueError("not a profile: a name is missing") from error
    if any(len(values) < len(types) for _, values in profile.samples):
        raise ValueError("not a profile: a sample lacks a value")
    unknown = ("(unknown)", "")
    profile.places = {
        location: [(*named.get(function, unknown), line) for function, line in called]
        for location, called in lines.items()
    }
    profile.frames = {
        location: [_label(name, file) for name, file, _ in called] for location, called in profile.places.items()
    }
    return profile


def _label(name: str, file: str) -> str:
    text = f"{name} ({file})" if file else name
    return text.replace(";", ":")  # the separator of folded stacks


def _sample(data: bytes) -> tuple[list[int], list[int]]:
    locations: list[int] = []
    values: list[int] = []
    for number, value in fields(data):
        if number == 1:
            locations += numbers(value)
        elif number == 2:
            values += [item - (1 << 64) if item >> 63 else item for item in numbers(value)]
    return locations, values


def _location(data: bytes) -> tuple[int, list[tuple[int, int]]]:
    """Id of a location, with function id and line of each function inlined there."""
    ident, called = 0, []
    for number, value in fields(data):
        if number == 1:
            ident = _int(value)
        elif number == 4:
            line = dict(fields(_bytes(value)))
            called.append((_int(line.get(1, 0)), _int(line.get(2, 0))))
    return ident, called
