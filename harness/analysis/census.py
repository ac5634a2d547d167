"""What stayed: tasks, threads, greenlets and goroutines that were there once settled and not before the load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis.facts import EVER, Facts

THREAD = "thread"
"""Counted and shown with the others, but not a task: pools of them are meant to stay."""

_NAMED = 5


@dataclass(frozen=True, slots=True)
class Change:
    """How many of one name there were at rest before the load, and how many once settled."""

    sort: str
    name: str
    frame: str
    """Where most of them are now; empty where nobody tells."""
    before: int
    after: int

    @property
    def stayed(self) -> int:
        """How many more there are; negative where some have gone."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Census:
    """The baseline and the settled census side by side, what stayed first."""

    changes: list[Change]
    reasons: list[str]
    """What was not counted, and why."""

    @property
    def stayed(self) -> list[Change]:
        """Names of which there are more tasks than before the load."""
        return [change for change in self.changes if change.stayed > 0 and change.sort != THREAD]

    @property
    def tasks(self) -> bool:
        """Whether there was anything but threads at all."""
        return any(change.sort != THREAD for change in self.changes)

    @property
    def sentence(self) -> str:
        """The names of what stayed, most first; empty where nothing did."""
        named = [f"{change.name} +{change.stayed}" for change in self.stayed[:_NAMED]]
        more = len(self.stayed) - len(named)
        return ", ".join(named) + (f" and {more} more" if more > 0 else "")


def census(facts: Facts) -> Census | str:
    """The comparison, or why there is none."""
    if facts.cut_short:
        return facts.cut_short
    events = list(facts.record.events("census"))
    load_start, load_end = facts.load_started_ns, max((p.ended_ns or EVER for p in facts.load_phases), default=0)
    before = [event for event in events if load_start is None or event["t_ns"] < load_start]
    after = [event for event in events if load_start is not None and event["t_ns"] > load_end]
    if not before or not after:
        return "no census before the load" if not before else "no census once settled"
    first, last = _counts(before[-1]), _counts(after[-1])
    frames = _frames(after[-1])
    changes = [
        Change(*key, frames.get(key, ""), first.get(key, 0), last.get(key, 0)) for key in dict.fromkeys([*last, *first])
    ]
    reasons = dict.fromkeys(
        str(why) for event in (before[-1], after[-1]) for why in (event.get("reasons") or {}).values()
    )
    return Census(sorted(changes, key=lambda change: (-change.stayed, -change.after, change.name)), list(reasons))


def _counts(event: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    counts: dict[tuple[str, str], int] = {}
    for row in event["rows"]:
        key = (str(row["sort"]), str(row["name"]))
        counts[key] = counts.get(key, 0) + int(row["count"])
    return counts


def _frames(event: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """The most frequent frame of each name: rows come by count."""
    frames: dict[tuple[str, str], str] = {}
    for row in event["rows"]:
        frames.setdefault((str(row["sort"]), str(row["name"])), " ".join(filter(None, (row["state"], row["frame"]))))
    return frames
