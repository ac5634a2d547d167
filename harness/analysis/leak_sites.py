"""Which code allocated what is still held after cycles whose allocations were followed by memray.

memray is attached after the measured cycles, follows a few more, and is detached at rest after a collection. What was
allocated in between and not freed is what such a cycle leaves behind; nothing from before is in the capture.

A buffer that happens to be full just then is there, too. What is left behind for each object has as many allocations as there
were objects; a buffer has one. So the places that left one for at least every second object come first.

Of a Go subject a heap profile was kept at each measuring point, at no cost in between: what the last holds more than the first
after the warm-up was left behind by the cycles between. Go samples one allocation in 512 KiB, so less than two samples say
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis.facts import Facts
from harness.analysis.profile_diff import Row, diff
from harness.core import stacks
from harness.core.stacks import StackProfile
from harness.record import profile_files
from harness.record.leak import LeakSite

MOST = 10
REPEATED = 0.5
"""Allocations for each object from which a place leaves something behind over and over."""
_LEAST = 1.0
"""Bytes for each object below which a place is not worth a line."""
_SAMPLED = 2 * 512 * 1024
"""Bytes of two samples of Go's heap profile."""
_CALLERS = 6


def sites(facts: Facts, warm_up: int = 0) -> tuple[list[LeakSite], str | None]:
    """The places that hold most, and why there are none."""
    if facts.run.subject.runtime == "go":
        return _of_go(facts, warm_up)
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


def _of_go(facts: Facts, warm_up: int) -> tuple[list[LeakSite], str | None]:
    events = [each for each in facts.record.events(profile_files.HEAP) if str(each.get("phase")).startswith("point-")]
    if len(events) < warm_up + 2:
        return [], "fewer than two heap profiles after the warm-up (--sites 0, or no subject.pprof)"
    first, last = events[warm_up], events[-1]
    paths = [profile_files.heap_stacks(facts.record, str(each["when"])) for each in (first, last)]
    try:
        before, after = (stacks.load(path) for path in paths if path is not None)
    except (OSError, ValueError) as error:
        return [], f"the stacks cannot be read: {error}"
    return left(before, after, _objects_between(facts, int(first["t_ns"]), int(last["t_ns"]))), None


def named(profile: StackProfile, objects: int) -> list[LeakSite]:
    """The places of a capture, by what they hold at its end for each object."""
    nothing = StackProfile("memray", "", {"end": {}})
    return _sites(diff([nothing], [profile], moment="end").rows["site"], objects, _LEAST * max(1, objects))


def left(before: StackProfile, after: StackProfile, objects: int) -> list[LeakSite]:
    """The places that hold more in the second of two heap profiles of Go, for each object between them."""
    least = max(_LEAST * max(1, objects), _SAMPLED)
    return _sites(diff([before], [after], moment="inuse").rows["site"], objects, least)


def _sites(rows: Sequence[Row], objects: int, least: float) -> list[LeakSite]:
    found = [
        LeakSite(
            site=row.name,
            package=row.package,
            bytes_per_object=row.bytes.difference / max(1, objects),
            allocations_per_object=row.allocations.difference / max(1, objects),
            repeated=row.allocations.difference >= REPEATED * max(1, objects),
            callers=[frame.text for frame in row.callers[1 : 1 + _CALLERS]],
        )
        for row in rows
        if row.bytes.difference >= least
    ]
    return sorted(found, key=lambda site: (not site.repeated, -site.bytes_per_object))[:MOST]


def _objects(facts: Facts) -> int:
    """How many objects were created while memray was there."""
    events: Sequence[dict[str, object]] = list(facts.record.events("memray_attached"))
    return _objects_between(facts, int(str(events[0]["t_ns"])) if events else 0)


def _objects_between(facts: Facts, since: int, until: float = math.inf) -> int:
    created = [phase for phase in facts.load_phases if phase.action == "create"]
    return sum(phase.done or 0 for phase in created if since < (phase.ended_ns or 0) <= until)
