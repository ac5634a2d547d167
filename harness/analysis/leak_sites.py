"""Which code allocated what is still held after cycles whose allocations were followed by memray.

memray is attached after the measured cycles, follows a few more, and is detached at rest after a collection. What was
allocated in between and not freed is what such a cycle leaves behind; nothing from before is in the capture.

A buffer that happens to be full just then is there, too. What is left behind for each object has as many allocations as there
were objects; a buffer has one. So the places that left one for at least every second object come first.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.facts import Facts
from harness.analysis.profile_diff import diff
from harness.core import stacks
from harness.core.stacks import StackProfile
from harness.record import profile_files
from harness.record.leak import LeakSite

MOST = 10
REPEATED = 0.5
"""Allocations for each object from which a place leaves something behind over and over."""
_LEAST = 1.0
"""Bytes for each object below which a place is not worth a line."""
_CALLERS = 6


def sites(facts: Facts) -> tuple[list[LeakSite], str | None]:
    """The places that hold most, and why there are none."""
    if "memray" not in facts.collectors:
        return [], "allocations were not followed (--sites 0, or the subject is not Python)"
    why = facts.unwitnessed("memray")
    path = profile_files.kept_stacks(facts.record)
    if why is not None or path is None:
        return [], why or "memray left no stacks"
    try:
        profile = stacks.load(path)
    except (OSError, ValueError) as error:
        return [], f"the stacks cannot be read: {error}"
    return named(profile, _objects(facts)), None


def named(profile: StackProfile, objects: int) -> list[LeakSite]:
    """The places of a capture, by what they hold at its end for each object."""
    nothing = StackProfile("memray", "", {"end": {}})
    rows = diff([nothing], [profile], moment="end").rows["site"]
    found = [
        LeakSite(
            site=row.name,
            package=row.package,
            bytes_per_object=row.bytes.after / max(1, objects),
            allocations_per_object=row.allocations.after / max(1, objects),
            repeated=row.allocations.after >= REPEATED * max(1, objects),
            callers=[f"{frame.function} ({frame.file}:{frame.line})" for frame in row.callers[1 : 1 + _CALLERS]],
        )
        for row in rows
        if row.bytes.after >= _LEAST * max(1, objects)
    ]
    return sorted(found, key=lambda site: (not site.repeated, -site.bytes_per_object))[:MOST]


def _objects(facts: Facts) -> int:
    """How many objects were created while memray was there."""
    events: Sequence[dict[str, object]] = list(facts.record.events("memray_attached"))
    since = int(str(events[0]["t_ns"])) if events else 0
    return sum(p.done or 0 for p in facts.load_phases if p.action == "create" and (p.ended_ns or 0) > since)
