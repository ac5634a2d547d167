"""What grew between two sets of memory profiles, by call site, function, file and package. Pure.

Several captures on a side are repeats: values are their means, and a difference has a 95 % interval (Welch's t). With one on
a side there is none, and the reason stands in its place: one capture cannot tell noise from growth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.analysis.profile_places import UNKNOWN, aligned, package, short
from harness.core.errors import UsageError
from harness.core.stacks import Frame, Held, Kind, Stack, StackProfile

By = Literal["site", "function", "file", "package"]
BY: tuple[By, ...] = ("site", "function", "file", "package")
MOMENTS: Mapping[Kind, tuple[str, ...]] = {"memray": ("peak", "end"), "go-heap": ("inuse", "alloc")}
"""Moments of each kind of profile; the first is the one compared unless another is asked for."""

CONFIDENCE = 0.95
ONE_CAPTURE = "one capture on a side: no interval"
_RUNTIME = ("runtime.",)
"""Of Go: its allocator is no call site."""


@dataclass(frozen=True, slots=True)
class Change:
    """Means before and after. `low` and `high` bound the difference; None where a side has one capture."""

    before: float
    after: float
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after - self.before

    @property
    def certain(self) -> bool | None:
        """Whether the interval leaves out 0; None without one."""
        return None if self.low is None or self.high is None else not self.low <= 0 <= self.high


@dataclass(frozen=True, slots=True)
class Row:
    """One place of code. `share` is its part of all that grew; None where it did not grow."""

    name: str
    package: str
    function: str
    file: str
    line: int
    bytes: Change
    allocations: Change
    share: float | None
    callers: tuple[Frame, ...] = ()
    """Of the stack that grew most here, from the place outwards."""


@dataclass(frozen=True, slots=True)
class Diff:
    """Two sides compared at one moment. `rows` by grouping, what grew most first; `stacks`: mean bytes before and after."""

    kind: Kind
    moment: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    bytes: Change
    allocations: Change
    rows: Mapping[By, tuple[Row, ...]]
    stacks: Mapping[Stack, tuple[float, float]]
    interval: str | None
    """Why differences have no interval; None where they have."""


def diff(before: Sequence[StackProfile], after: Sequence[StackProfile], *, moment: str | None = None) -> Diff:
    """Compare two sides. Raises UsageError where they cannot be compared."""
    kind, moment = _comparable(before, after, moment)
    sides = _one_naming(before, after, moment)
    stacks = _stacks(sides)
    total = _change(sides, lambda side: [float(sum(held.bytes for held in one.values())) for one in side])
    counts = _change(sides, lambda side: [float(sum(held.allocations for held in one.values())) for one in side])
    return Diff(
        kind=kind,
        moment=moment,
        before=tuple(profile.source for profile in before),
        after=tuple(profile.source for profile in after),
        bytes=total,
        allocations=counts,
        rows={by: _rows(sides, stacks, by, kind) for by in BY},
        stacks=stacks,
        interval=ONE_CAPTURE if min(len(before), len(after)) < 2 else None,
    )


def blamed(found: Diff, *, most: int = 10) -> list[Row]:
    """Functions that grew, those to blame first: what is certain before what may be noise, then by bytes."""
    grown = [row for row in found.rows["function"] if row.bytes.difference > 0]
    return sorted(grown, key=lambda row: (row.bytes.certain is not True, -row.bytes.difference))[:most]


_Side = Sequence[Mapping[Stack, Held]]


def _comparable(before: Sequence[StackProfile], after: Sequence[StackProfile], moment: str | None) -> tuple[Kind, str]:
    if not before or not after:
        raise UsageError("a comparison needs a profile on each side")
    kinds = {profile.kind for profile in (*before, *after)}
    if len(kinds) > 1:
        raise UsageError(f"profiles of different kinds cannot be compared: {' and '.join(sorted(kinds))}")
    (kind,) = kinds
    wanted = moment or MOMENTS[kind][0]
    for profile in (*before, *after):
        if wanted not in profile.moments:
            known = ", ".join(profile.moments)
            raise UsageError(f"has no moment {wanted!r}", place=profile.source, remedy=f"it has {known}")
    return kind, wanted


def _one_naming(before: Sequence[StackProfile], after: Sequence[StackProfile], moment: str) -> tuple[_Side, _Side]:
    """Both sides with files named as on the second one."""
    files = [
        {frame.file for profile in side for stack in profile.moments[moment] for frame in stack}
        for side in (before, after)
    ]
    renamed = aligned(*files)
    return (
        [_renamed(profile.moments[moment], lambda file: renamed[file]) for profile in before],
        [_renamed(profile.moments[moment], short) for profile in after],
    )


def _renamed(stacks: Mapping[Stack, Held], name: Callable[[str], str]) -> dict[Stack, Held]:
    found: dict[Stack, Held] = {}
    for stack, held in stacks.items():
        key = tuple(Frame(function, name(file), line) for function, file, line in stack)
        other = found.get(key, Held(0, 0))
        found[key] = Held(other.bytes + held.bytes, other.allocations + held.allocations)
    return found


def _stacks(sides: tuple[_Side, _Side]) -> dict[Stack, tuple[float, float]]:
    means = [_mean_bytes(side) for side in sides]
    return {stack: (means[0].get(stack, 0.0), means[1].get(stack, 0.0)) for stack in {**means[0], **means[1]}}


def _mean_bytes(side: _Side) -> dict[Stack, float]:
    found: dict[Stack, float] = {}
    for one in side:
        for stack, held in one.items():
            found[stack] = found.get(stack, 0.0) + held.bytes / len(side)
    return found


def _place(stack: Stack, kind: Kind) -> Frame:
    """The call site of a stack: its innermost frame, in Go outside of the runtime's own."""
    own = stack
    if kind == "go-heap":
        own = tuple(frame for frame in stack if not frame.function.startswith(_RUNTIME)) or stack
    return own[0] if own else Frame("(no Python frame)" if kind == "memray" else UNKNOWN, "", 0)


def _key(frame: Frame, by: By, kind: Kind) -> tuple[str, ...]:
    if by == "site":
        return (frame.function, frame.file, str(frame.line))
    if by == "function":
        return (frame.function, frame.file)
    return (frame.file or UNKNOWN,) if by == "file" else (package(frame, kind),)


def _rows(
    sides: tuple[_Side, _Side], stacks: Mapping[Stack, tuple[float, float]], by: By, kind: Kind
) -> tuple[Row, ...]:
    grown: dict[tuple[str, ...], list[tuple[float, Stack]]] = {}
    for stack, (was, now) in stacks.items():
        grown.setdefault(_key(_place(stack, kind), by, kind), []).append((now - was, stack))
    sums = [[_sums(one, by, kind) for one in side] for side in sides]
    rows = []
    for key, found in grown.items():
        _, stack = max(found, key=lambda item: (item[0], item[1]))
        frame = _place(stack, kind)
        size = _change(sums, lambda side, key=key: [one.get(key, (0.0, 0.0))[0] for one in side])
        count = _change(sums, lambda side, key=key: [one.get(key, (0.0, 0.0))[1] for one in side])
        shown = _shown(frame, key, by)
        rows.append(
            Row(
                name=shown, package=package(frame, kind), function=frame.function if by in ("site", "function") else "",
                file=frame.file if by != "package" else "", line=frame.line if by in ("site", "function") else 0,
                bytes=size, allocations=count, share=None,
                callers=stack[stack.index(frame) :] if frame in stack else stack,
            )
        )  # fmt: skip
    growth = sum(max(0.0, row.bytes.difference) for row in rows)
    shared = [replace(row, share=row.bytes.difference / growth) if row.bytes.difference > 0 else row for row in rows]
    return tuple(sorted(shared, key=lambda row: (-row.bytes.difference, row.name)))


def _shown(frame: Frame, key: tuple[str, ...], by: By) -> str:
    if by == "site":
        return frame.text
    if by == "function":
        return f"{frame.function} ({frame.file})" if frame.file else frame.function
    return key[0]


def _sums(stacks: Mapping[Stack, Held], by: By, kind: Kind) -> dict[tuple[str, ...], tuple[float, float]]:
    found: dict[tuple[str, ...], tuple[float, float]] = {}
    for stack, held in stacks.items():
        key = _key(_place(stack, kind), by, kind)
        size, count = found.get(key, (0.0, 0.0))
        found[key] = (size + held.bytes, count + held.allocations)
    return found


def _change(sides: Sequence[Sequence[object]], values: Callable[..., list[float]]) -> Change:
    before, after = values(sides[0]), values(sides[1])
    was, now = sum(before) / len(before), sum(after) / len(after)
    if min(len(before), len(after)) < 2:
        return Change(was, now)
    error, freedom = _welch(before, after)
    if error == 0:
        return Change(was, now, now - was, now - was)
    from scipy import stats  # half a second of import: only where there are repeats

    reach = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
    return Change(was, now, now - was - reach, now - was + reach)


def _welch(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Standard error of the difference of two means, and its degrees of freedom (Welch 1947)."""
    parts = []
    for values in (before, after):
        mean = sum(values) / len(values)
        parts.append((sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values), len(values) - 1))
    total = sum(part for part, _ in parts)
    if total == 0:
        return 0.0, 1.0
    return math.sqrt(total), total**2 / sum(part**2 / freedom for part, freedom in parts)
