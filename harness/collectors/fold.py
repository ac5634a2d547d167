"""Folded stacks of the profiles that a run has kept: `profiles/NAME.folded`, from which the report draws flame graphs.

What happened (CPU time, allocations) is added up over all profiles. What is in use or under way is not: a snapshot shows the
same bytes as the one before, so the newest one stands alone; of several replicas the newest of each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.collectors.pprof import Profile, decode

_OURS = "/harness_agent/"

PROFILE_TYPES = {
    ("process_cpu", "cpu"): "process_cpu:cpu:nanoseconds:cpu:nanoseconds",
    ("memory", "inuse_space"): "memory:inuse_space:bytes:space:bytes",
    ("memory", "alloc_space"): "memory:alloc_space:bytes:space:bytes",
    ("goroutines", "goroutine"): "goroutines:goroutine:count:goroutine:count",
}
"""As a Pyroscope server calls them."""

_ADDED = {"cpu": "cpu", "alloc_space": "allocs"}
_NEWEST = {"inuse_space": "memory", "goroutine": "goroutines"}


@dataclass(slots=True)
class Kept:
    """One profile of the record: its file, its series and the phase that it belongs to."""

    path: Path
    kind: str
    phase: str
    profile_type: str | None = None
    """As a server calls it; known once it is decoded."""
    replica: int | None = None
    """Of several, which it is of."""


def write(directory: Path, kept: Sequence[Kept]) -> list[str]:
    """Write `cpu.folded`, `allocs.folded`, `memory.folded` and `goroutines.folded`, of what there is; what was wrong."""
    found: dict[str, Counter[str]] = {}
    newest: dict[tuple[str, int | None], Counter[str]] = {}
    problems = []
    for each in kept:
        try:
            profile = decode(each.path.read_bytes())
            for type_, name in _ADDED.items():
                if stacks := profile.folded(type_):
                    found.setdefault(name, Counter()).update(stacks)
            for type_, name in _NEWEST.items():
                if stacks := profile.folded(type_):
                    newest[name, each.replica] = stacks
        except ValueError as error:
            problems.append(f"{each.path.name}: {error}")
            continue
        each.profile_type = _type(each.kind, profile)
    for (name, _), stacks in newest.items():
        found.setdefault(name, Counter()).update(stacks)
    for name, stacks in found.items():
        # The agent's own thread is not the subject's work; what it costs is a sample of the tasks collector.
        lines = [f"{stack} {value}\n" for stack, value in stacks.most_common() if _OURS not in stack and value > 0]
        if lines:
            (directory / f"{name}.folded").write_text("".join(lines))
    return problems


def _type(kind: str, profile: Profile) -> str | None:
    """What a server makes of the profile, from what is in it: not what it should be."""
    shown = next(((name, unit) for name, unit in profile.types if (kind, name) in PROFILE_TYPES), None)
    return None if shown is None else ":".join((kind, *shown, *profile.period))
