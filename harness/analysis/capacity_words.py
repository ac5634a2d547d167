"""What a capacity comes to: a sentence, the exit code with its reasons, warnings."""

from __future__ import annotations

import math

from harness.core.errors import ExitCode
from harness.core.units import format_value
from harness.record.capacity import Capacity, Interval

GOAL = 0.10
"""The prediction of the 50 % point is to be this near."""
_MIB = 2**20


def sentence(result: Capacity) -> str:
    """The answer in a sentence."""
    plural = f"{result.kind.partition('.')[0]}s"
    parts: list[str] = []
    by = {boundary.what: boundary for boundary in result.boundaries}
    growth, cold = by.get("growth"), by.get("cold")
    if growth is not None:
        dies = f"at {_size(growth.limit_bytes)} it "
        if growth.half is not None:
            dies += f"dies at {_count(growth.half)} {plural}"
            if growth.kept is not None:
                low, high = (math.floor(max(0.0, end or 0.0)) for end in (growth.kept.low, growth.kept.high))
                dies += (
                    f" and keeps {math.floor(growth.kept.value):,} ({low:,} to {high:,}; at most 1 % of runs killed)"
                )
        elif growth.predicted is not None:
            dies += f"should die at {_count(growth.predicted)} {plural} (predicted, not tried)"
        else:
            dies += f"dies nobody knows where: {growth.refused}"
        if cold is not None and (cold.half or cold.predicted) is not None:
            found, word = (cold.half, "") if cold.half else (cold.predicted, ", predicted")
            assert found is not None
            dies += f"; restarted with them there, at {_count(found)}{word}"
        parts.append(dies)
    if result.needs:
        needs = {item.what: item for item in result.needs}
        grown, restarted = needs["growth"], needs["cold"]
        if grown.limit_bytes is not None:
            start = "" if restarted.limit_bytes is None else f" (cold start {_size(restarted.limit_bytes)})"
            parts.append(f"for {grown.count:,} give it {_size(grown.limit_bytes)}{start}")
        else:
            parts.append(f"what {grown.count:,} need is not said: {grown.refused}")
    return "; ".join(parts) or "nothing can be said yet"


def judge(result: Capacity) -> None:
    """Exit code, reasons and warnings."""
    growth = next((b for b in result.boundaries if b.what == "growth"), None)
    answered = growth is not None and (growth.half or growth.predicted) is not None
    for boundary in result.boundaries:
        if boundary.within_goal is False:
            result.warnings.append(
                f"the prediction for {boundary.what} missed the real boundary by {boundary.error:+.0%}; {GOAL:.0%} is the goal"
            )
        if boundary.overlap is False and boundary.half is not None:
            result.warnings.append(
                f"{boundary.what}: no run that survived had more objects than one that died: how many are kept rests on the "
                "scatter of the peaks"
            )
    left_out = [run for run in result.ladder if not run.valid]
    result.warnings += [f"run {run.run_id} ({run.count:,} objects) is not used: {run.reason}" for run in left_out]
    if result.interrupted:
        result.exit_code = ExitCode.INTERRUPTED
        result.reasons = [f"interrupted after {len(result.ladder)} runs of the ladder"]
        return
    refused = [n.refused for n in result.needs if n.what == "growth" and n.refused]
    if result.limit_bytes is not None and result.count is not None:
        too_many = growth is not None and growth.kept is not None and growth.kept.value < result.count
        too_much = any(n.limit_bytes is not None and n.limit_bytes > result.limit_bytes for n in result.needs)
        if too_many or (too_much and (growth is None or growth.kept is None)):
            result.exit_code = ExitCode.FAILED
            result.reasons = [f"{result.count:,} do not fit under {_size(result.limit_bytes)}: {result.sentence}"]
            return
        refused = [] if growth is not None and growth.kept is not None else refused
    if result.limit_bytes is not None and not answered:
        refused = [(growth.reason or growth.refused or "") if growth else "no boundary"]
    if refused:
        result.exit_code, result.reasons = ExitCode.INVALID, [reason for reason in refused if reason]


def _count(found: Interval) -> str:
    """`5,210 ± 180`; where the interval is lopsided its ends."""
    if found.low is None or found.high is None:
        return f"{found.value:,.0f}"
    below, above = found.value - found.low, found.high - found.value
    if max(below, above) > 2 * min(below, above):
        return f"{found.value:,.0f} ({max(0.0, found.low):,.0f} to {found.high:,.0f})"
    return f"{found.value:,.0f} ± {(below + above) / 2:,.0f}"


def _size(size: float) -> str:
    return f"{size / _MIB:,.0f} MiB" if size % _MIB == 0 or size > 100 * _MIB else format_value(size, "bytes")
