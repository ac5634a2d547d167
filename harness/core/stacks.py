"""What a memory profile holds, whoever took it: bytes and allocations by call stack.

Written beside each capture of a record as `NAME.stacks.json.gz` (`harness.stacks/v1`), so that profiles of records can be
compared without the profiler's own files and tools. Stacks are innermost first.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.core.errors import MALFORMED

SCHEMA = "harness.stacks/v1"
SUFFIX = ".stacks.json.gz"
MOST_STACKS = 20_000
_MOST_BYTES = 512 * 2**20
_NO_PROFILE = (gzip.BadGzipFile, zlib.error, EOFError, *MALFORMED)
"""What a file brings about that is none, or cut short, or of another form."""

Kind = Literal["memray", "go-heap"]


class Frame(NamedTuple):
    """One place in code. `file` is empty and `line` 0 where they are not known."""

    function: str
    file: str
    line: int

    @property
    def text(self) -> str:
        """`function (file:line)`; the function alone where no file is known."""
        return f"{self.function} ({self.file}:{self.line})" if self.file else self.function


class Held(NamedTuple):
    """What one stack holds."""

    bytes: int
    allocations: int


Stack = tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class StackProfile:
    """One capture. `moments`: `peak` and `end` of memray; `inuse` and `alloc` (since the start) of a Go heap profile."""

    kind: Kind
    source: str
    """The file it was read from."""
    moments: Mapping[str, Mapping[Stack, Held]] = field(default_factory=dict)

    def total(self, moment: str) -> int:
        """Bytes held at a moment."""
        return sum(held.bytes for held in self.moments[moment].values())


def largest(stacks: Mapping[Stack, Held], most: int = MOST_STACKS) -> dict[Stack, Held]:
    """The stacks that hold most; what the others hold is kept under the empty stack, so that sums stay true."""
    ordered = sorted(stacks.items(), key=lambda item: -item[1].bytes)
    kept = dict(ordered[:most])
    rest = ordered[most:]
    if rest:
        other = kept.get((), Held(0, 0))
        kept[()] = Held(
            other.bytes + sum(held.bytes for _, held in rest),
            other.allocations + sum(held.allocations for _, held in rest),
        )
    return kept


def dump(profile: StackProfile, path: Path) -> None:
    """Write a profile. Frames are written once and referred to by number."""
    numbers: dict[Frame, int] = {}
    moments = {
        moment: [
            [held.bytes, held.allocations, [numbers.setdefault(frame, len(numbers)) for frame in stack]]
            for stack, held in largest(stacks).items()
        ]
        for moment, stacks in profile.moments.items()
    }
    document = {
        "schema": SCHEMA, "kind": profile.kind, "source": profile.source, "frames": [list(frame) for frame in numbers],
        "moments": moments,
    }  # fmt: skip
    path.write_bytes(gzip.compress(json.dumps(document, separators=(",", ":")).encode(), mtime=0))


def load(path: Path) -> StackProfile:
    """Read a profile. Raises ValueError where the file is none, OSError where it cannot be read."""
    try:
        with gzip.open(path) as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError("too large for a profile")
        return _profile(json.loads(data))
    except _NO_PROFILE as error:
        raise ValueError(f"not a profile of the harness ({SCHEMA}): {error}") from error


def _profile(document: dict[str, Any]) -> StackProfile:
    if document["schema"] != SCHEMA:
        raise ValueError(f"its schema is {document['schema']!r}")
    frames = [Frame(str(function), str(file), int(line)) for function, file, line in document["frames"]]
    moments = {
        str(moment): {
            tuple(frames[number] for number in stack): Held(int(size), int(count)) for size, count, stack in rows
        }
        for moment, rows in document["moments"].items()
    }
    return StackProfile(document["kind"], str(document["source"]), moments)
