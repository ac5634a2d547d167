"""What a profiler has disturbed: under a heavy one results about memory and latency are those of the profiled subject.

One that looked at times only (`profile: on-demand`, `harness profile --run`) has disturbed what overlaps its windows. Memory is
never again what it was before the first one: the profiler's modules stay in the process.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.facts import EVER, Facts
from harness.core.units import format_value
from harness.record.windows import ProfiledWindow, windows
from harness.scenario.model import Expectation

ON_DEMAND = "on-demand"
_SHOWN = 4


class Disturbance:
    """Heavy profilers of one run, and which expectations they leave without an answer."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.windows = windows(facts.record)
        self._heavy = [window for window in self.windows if window.heavy]
        self._always = [
            item.name
            for item in facts.run.collectors
            if item.heavy and item.state == "on" and item.name != ON_DEMAND
        ]  # fmt: skip

    def note(self, item: Expectation) -> str | None:
        """Why an expectation cannot be judged; None where it can, as far as profilers go."""
        if not _sensitive(item):
            return None
        if self._always:
            return f"measured under {', '.join(self._always)}, which changes it; run without it to judge"
        touching = self._touching(item.metric)
        if not touching:
            return None
        tool = touching[0].tool
        return f"{tool} was attached meanwhile ({_named(touching)}), which changes it; run without it to judge"

    def sentence(self) -> str | None:
        """That the run was profiled in windows only, for the reader of its figures; None where it was not."""
        if not self.windows:
            return None
        known = [window.seconds for window in self.windows if window.seconds is not None]
        tools = ", ".join(dict.fromkeys(window.tool for window in self.windows))
        count = f"{len(self.windows)} window{'s' if len(self.windows) > 1 else ''}"
        text = (
            f"profiled by {tools} in {count} only, {format_value(sum(known), 'seconds')} in all: {_named(self.windows)}"
        )
        if self._heavy:
            text += "; figures of memory from the first window on hold what stays of the profiler"
        return text

    def _touching(self, metric: str) -> Sequence[ProfiledWindow]:
        if metric.startswith("latency."):
            probe = metric.split(".")[1]
            return [window for window in self._heavy if self._overlaps(probe, window)]
        if metric.endswith(".idle"):
            idle = self._facts.run.phase("idle")
            until = idle.ended_ns if idle is not None and idle.ended_ns is not None else EVER
            return [window for window in self._heavy if window.started_ns < until]
        return self._heavy

    def _overlaps(self, probe: str, window: ProfiledWindow) -> bool:
        """Whether an effect of the probe was under way while the window was open."""
        count = self._facts.scalar(
            "SELECT count(*) FROM propagation WHERE probe = ? AND intended_ns < ? AND coalesce(seen_ns, ?) > ?",
            *(probe, window.ended_ns or EVER, EVER, window.started_ns),
        )
        return bool(count)


def _named(found: Sequence[ProfiledWindow]) -> str:
    parts = [f"{window.why} at {window.started_ns / 1e9:.1f} s" for window in found[:_SHOWN]]
    if len(found) > _SHOWN:
        parts.append(f"{len(found) - _SHOWN} more")
    return ", ".join(parts)


def _sensitive(item: Expectation) -> bool:
    """Whether a heavy profiler changes what the expectation asks about."""
    if item.metric == "oom.kills":
        asks_for_kill = item.op in (">", ">=") or (item.op in ("==", "!=") and (item.value > 0) == (item.op == "=="))
        return not asks_for_kill
    return item.metric.startswith(("memory.", "latency."))
