"""Writes pprof profiles: a folded profile as a message of its own, and a profile with fewer sample types."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterable, Sequence

from harness.collectors.pprof import decode, fields, numbers, unpacked

Frame = tuple[str, str, int]
"""Function, file and line."""


def encode(
    types: Sequence[tuple[str, str]],
    samples: Iterable[tuple[Sequence[Frame], Sequence[int]]],
    *,
    period: tuple[str, str],
    time_ns: int,
) -> bytes:
    """A gzip'd profile, the same bytes for the same content at any time.

    A sample is a stack, innermost frame first, with one value for each of `types` (name, unit).
    `period` (name, unit) is what Go and pyroscope-io say of the same: `memory:inuse_space:bytes:space:bytes` on a server has
    its end from there.
    """
    writer = _Writer()
    parts = [_message(1, writer.pair(each)) for each in types]
    for stack, values in samples:
        places = b"".join(_varint(writer.location(frame)) for frame in stack)
        parts.append(_message(2, _message(1, places) + _message(2, b"".join(map(_varint, values)))))
    parts.append(_message(11, writer.pair(period)))
    parts += [*writer.locations, *writer.functions, *(_message(6, text.encode()) for text in writer.texts)]
    parts.append(_number(9, time_ns))
    return gzip.compress(b"".join(parts), compresslevel=6, mtime=0)


def select(raw: bytes, names: Collection[str]) -> bytes:
    """The profile with the sample types of these names only. Raises ValueError where it is no profile or has none of them.

    Go's heap profile holds what is in use and what was ever allocated. Sent as it is, again and again, the latter would be
    counted each time.
    """
    profile = decode(raw)
    columns = [index for index, (name, _) in enumerate(profile.types) if name in names]
    if not columns:
        raise ValueError(f"the profile has no {' or '.join(names)}")
    kept, at = [], 0
    for number, value in fields(unpacked(raw)):
        if number == 1:
            at += 1
            if at - 1 not in columns:
                continue
        if number == 2 and not isinstance(value, int):
            value = _with_columns(value, columns)  # the field's new value
        kept.append(_number(number, value) if isinstance(value, int) else _message(number, value))
    return gzip.compress(b"".join(kept), compresslevel=6, mtime=0)


def _with_columns(sample: bytes, columns: Sequence[int]) -> bytes:
    """A sample with some of its values. Values may come one by one or packed."""
    rest, values = b"", list[int]()
    for number, value in fields(sample):
        if number == 2:
            values += numbers(value)
        else:
            rest += _number(number, value) if isinstance(value, int) else _message(number, value)
    return rest + _message(2, b"".join(_varint(values[column]) for column in columns))


class _Writer:
    """The tables that samples point into; entries are made when first asked for."""

    def __init__(self) -> None:
        self.texts = [""]
        self.functions: list[bytes] = []
        self.locations: list[bytes] = []
        self._texts = {"": 0}
        self._functions: dict[tuple[str, str], int] = {}
        self._locations: dict[Frame, int] = {}

    def text(self, text: str) -> int:
        if text not in self._texts:
            self._texts[text] = len(self.texts)
            self.texts.append(text)
        return self._texts[text]

    def pair(self, names: tuple[str, str]) -> bytes:
        return _number(1, self.text(names[0])) + _number(2, self.text(names[1]))

    def location(self, frame: Frame) -> int:
        if frame not in self._locations:
            ident = self._locations[frame] = len(self.locations) + 1
            line = _number(1, self._function(frame[0], frame[1])) + _number(2, frame[2])
            self.locations.append(_message(4, _number(1, ident) + _message(4, line)))
        return self._locations[frame]

    def _function(self, name: str, file: str) -> int:
        if (name, file) not in self._functions:
            ident = self._functions[name, file] = len(self.functions) + 1
            parts = ((1, ident), (2, self.text(name)), (3, self.text(name)), (4, self.text(file)))
            self.functions.append(_message(5, b"".join(_number(number, value) for number, value in parts)))
        return self._functions[name, file]


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body
