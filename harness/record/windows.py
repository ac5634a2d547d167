"""Windows in which a run was profiled, as its events tell: by the scenario's `profile: on-demand`, or by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.record.reader import RunRecord

HEAVY = ("memray",)
"""Tools that change what is measured while they look."""


@dataclass(frozen=True, slots=True)
class ProfiledWindow:
    """From when a profiler began to look until it had left. Times are run time, in ns; `ended_ns` None: never told."""

    number: str
    tool: str
    why: str
    phase: str
    started_ns: int
    ended_ns: int | None
    ended_why: str | None
    by_hand: bool

    @property
    def heavy(self) -> bool:
        """Whether it changes what is measured."""
        return self.tool in HEAVY

    @property
    def seconds(self) -> float | None:
        """How long it was open."""
        return None if self.ended_ns is None else (self.ended_ns - self.started_ns) / 1e9


def windows(record: RunRecord) -> Sequence[ProfiledWindow]:
    """In the order in which they were opened."""
    ends = {str(event["window"]): event for event in record.events("detach") if event.get("window")}
    found = []
    for event in record.events("attach"):
        number = event.get("window")
        if not number:
            continue  # a collector, not a window
        end = ends.get(str(number), {})
        found.append(
            ProfiledWindow(
                number=str(number),
                tool=str(event.get("tool", "")),
                why=str(event.get("why", "")),
                phase=str(event.get("phase", "")),
                started_ns=int(event.get("since_ns", event["t_ns"])),
                ended_ns=int(end.get("until_ns") or end["t_ns"]) if end else None,
                ended_why=str(end["why"]) if end.get("why") else None,
                by_hand=event.get("collector") == "by hand",
            )
        )
    return sorted(found, key=lambda window: window.started_ns)
