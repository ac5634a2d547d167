"""What a line of `events.jsonl` must be for its readers: its fields are used in sums, so that a damaged one is no event.

Records come from other machines, other versions, and disks that were full in the middle of a line. A line that is none is left
out and counted (`RunRecord.damaged_events`); what reads events need not ask what sort of thing a field is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

_Check = Callable[[Any], bool]
_LONGEST_NS = 2**62
"""146 years: times of a run are far below, and sums of two still fit into 64 bits."""


def _time(value: object) -> bool:
    return type(value) is int and abs(value) <= _LONGEST_NS


def _number(value: object) -> bool:
    return (type(value) is int and abs(value) <= _LONGEST_NS) or (type(value) is float and math.isfinite(value))


def _count(value: object) -> bool:
    return type(value) is int and 0 <= value <= _LONGEST_NS


def _text(value: object) -> bool:
    return isinstance(value, str)


def _mapping(value: object) -> bool:
    return isinstance(value, dict)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _or_null(check: _Check) -> _Check:
    return lambda value: value is None or check(value)


def _census(value: object) -> bool:
    keys = {"sort", "name", "count", "state", "frame"}
    return isinstance(value, list) and all(
        isinstance(row, dict) and row.keys() >= keys and _count(row["count"]) and _fit(row, _NAMED) for row in value
    )


def _helpings(value: object) -> bool:
    """Of `harness overhead`: a small one and a large one."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(each, dict) and all(_number(each.get(name)) for name in _HELPING) for each in value)
    )


def _sites(value: object) -> bool:
    """What is no list of mappings is nothing to readers; figures in one are added up."""
    rows = value if isinstance(value, list) else []
    return all(_fit(row, _FIGURES) for row in rows if isinstance(row, dict))


_NAMED = {"state": _or_null(_text), "frame": _or_null(_text)}
_FIGURES = {"bytes": _or_null(_number), "allocations": _or_null(_number)}
_METERED = ("idle_cpu_s", "idle_s", "idle_subject_cpu_s", "subject_rss_bytes", "harness_peak_bytes", "objects")
_HELPING = ("work_s", "subject_cpu_s", "seconds", "cpu_s", "from_ns", "until_ns")
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "census": ("rows",),
    "failover": ("killed_ns", "lease_ns", "reconcile_ns"),
    "apiserver_restarted": ("killed_ns", "ready_ns"),
    "etcd_full": ("message",),
    "agents_lost": ("message",),
    "agents": ("seen", "answered", "failed", "late", "waiting"),
    "undeleted": ("kind", "name", "finalizers"),
    "phase": ("name",),
    "meter": ("helpings", *_METERED),
}
"""By type, what readers take without asking whether it is there."""
_FIELDS: Mapping[str, Mapping[str, _Check]] = {
    "attach": {"since_ns": _time},
    "detach": {"until_ns": _or_null(_time)},
    "restart": {"started_ns": _or_null(_time), "ready_ns": _or_null(_time)},
    "failover": dict.fromkeys(("started_ns", "killed_ns", "ready_ns", "lease_ns", "reconcile_ns"), _or_null(_time)),
    "apiserver_restarted": {"killed_ns": _time, "ready_ns": _time},
    "census": {"rows": _census, "reasons": _or_null(_mapping)},
    "undeleted": {"kind": _text, "name": _text, "finalizers": _texts},
    "trim": {"since_ns": _time},
    "memray": {"top": _sites, "left": _sites, "peak_bytes": _or_null(_number), "left_bytes": _or_null(_number)},
    "oom_kill": {"peak_bytes": _or_null(_number)},
    "audit": {"unjudged_writes": _or_null(_count)},
    "pyroscope": {"links": _or_null(_mapping)},
    "meter": {"helpings": _helpings, **dict.fromkeys(_METERED, _number)},
    "phase": {"name": _text},
    "etcd_full": {"message": _text},
    "agents_lost": {"message": _text},
    "agents": {
        **dict.fromkeys(("seen", "answered", "failed", "late", "waiting"), _count),
        **dict.fromkeys(("late_p99_s", "took_p99_s"), _or_null(_number)),
        "error": _or_null(_text),
    },
    "subject_started": {"pid": _or_null(_count), "monotonic_ns": _or_null(_count), "folder": _or_null(_text)},
    "container_started": {"pid": _or_null(_count)},
}
_EVERY: Mapping[str, _Check] = {"t_ns": _time, "type": _text, "phase": _text}


def event_of(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None where it is none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or not {"t_ns", "type"} <= event.keys() or not _fit(event, _EVERY):
        return None
    type_ = event["type"]
    return event if _whole(event, type_) and _fit(event, _FIELDS.get(type_, {})) else None


def _fit(event: Mapping[str, Any], fields: Mapping[str, _Check]) -> bool:
    return all(check(event[name]) for name, check in fields.items() if name in event)


def _whole(event: Mapping[str, Any], type_: str) -> bool:
    if type_ in ("restart", "failover") and event.get("ready_ns") is not None and event.get("started_ns") is None:
        return False
    if type_ == "trim" and not event.get("reason") and not {"point", "since_ns"} <= event.keys():
        return False
    if type_ == "failover" and event.get("killed_ns") is None:
        return False
    if (
        type_ == "failover"
        and event.get("reason") is None
        and None in (event.get("lease_ns"), event.get("reconcile_ns"))
    ):
        return "reason" in event
    return all(name in event for name in _NEEDED.get(type_, ()))
