"""Reads memory profiles of any kind into stacks: what the harness keeps, memray's captures, heap profiles of Go."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from harness.collectors import pprof
from harness.collectors.tools import run_tool
from harness.core import stacks
from harness.core.errors import HarnessError, UsageError
from harness.core.stacks import Frame, Held, Stack, StackProfile

_MEMRAY = (b"memray", b"\x04\x22\x4d\x18")
"""How captures begin: plain, or packed by lz4."""
_TEXT = (b"heap profile:", b"goroutine profile:")
"""How pprof begins with ?debug=1."""
_READ_S = 600.0
_HEAD = 512
_GO_MOMENTS = {"inuse": ("inuse_space", "inuse_objects"), "alloc": ("alloc_space", "alloc_objects")}


async def read(path: Path) -> StackProfile:
    """The profile in a file. Raises UsageError, one line, for anything that is none."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", place=str(path)) from error
    if path.name.endswith(stacks.SUFFIX):
        return _kept(path)
    if head.startswith(_MEMRAY):
        return await _capture(path)
    if not head:
        raise UsageError(
            "is empty", place=str(path), remedy="a capture by `memray run --aggregate` is, where its process was killed"
        )
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<")):
        raise UsageError(
            "is a web page, not a profile", place=str(path), remedy="fetch /debug/pprof/heap itself, without ?debug="
        )
    if head.startswith(_TEXT):
        raise UsageError(
            "is a profile as text for people", place=str(path), remedy="fetch /debug/pprof/heap without ?debug="
        )
    return heap(path)


def _kept(path: Path) -> StackProfile:
    try:
        return stacks.load(path)
    except (OSError, ValueError) as error:
        raise UsageError(str(error), place=str(path)) from error


async def _capture(path: Path) -> StackProfile:
    """memray's own reader takes minutes and gigabytes for a long capture: it gets a process of its own."""
    with tempfile.TemporaryDirectory(prefix="harness-capture-") as place:
        result = Path(place) / f"capture{stacks.SUFFIX}"
        command = [sys.executable, "-P", "-m", "harness.collectors.memray_summary", str(path), str(result)]
        try:
            await run_tool(command, name="memray", log=Path(place) / "log", timeout_s=_READ_S)
            return StackProfile("memray", str(path), stacks.load(result).moments)
        except (HarnessError, ValueError, OSError) as error:
            cause = error.cause if isinstance(error, HarnessError) else str(error)
            raise UsageError(
                f"is no capture that memray can read: {cause}",
                place=str(path),
                remedy="it may be cut short, or of another memray version",
            ) from error


def heap(path: Path) -> StackProfile:
    """A heap profile of Go. Raises UsageError where it is none."""
    try:
        profile = pprof.decode(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"is neither a capture of memray nor a profile of pprof: {error}", place=str(path)) from error
    columns = [name for name, _ in profile.types]
    if not {"inuse_space", "inuse_objects"} <= set(columns):
        what = ", ".join(columns) or "nothing"
        raise UsageError(f"is no heap profile, but one of {what}", place=str(path), remedy="fetch /debug/pprof/heap")
    return StackProfile(
        "go-heap",
        str(path),
        {
            moment: _by_stack(profile, columns.index(space), columns.index(objects))
            for moment, (space, objects) in _GO_MOMENTS.items()
            if {space, objects} <= set(columns)
        },
    )


def _by_stack(profile: pprof.Profile, space: int, objects: int) -> dict[Stack, Held]:
    found: dict[Stack, Held] = {}
    for locations, values in profile.samples:
        if len(values) <= max(space, objects):
            continue  # a broken sample has no share
        if not values[space] and not values[objects]:
            continue
        stack = tuple(Frame(*place) for location in locations for place in profile.places.get(location, []))
        before = found.get(stack, Held(0, 0))
        found[stack] = Held(before.bytes + values[space], before.allocations + values[objects])
    return found
