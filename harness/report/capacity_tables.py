"""Capacity as tables, which terminal and page share."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.units import format_value
from harness.record.capacity import Boundary, Capacity, Interval, MemoryFit
from harness.report.results import NONE, clean
from harness.report.tables import Table

NAMES = {
    "growth_peak": "peak while growing into them",
    "growth_settled": "settled, grown into them",
    "cold_peak": "peak of a restart with them there",
    "cold_settled": "settled after that restart",
}
WHATS = {"growth": "growing into them", "cold": "restarted with them there"}


def interval(found: Interval | None, show: Callable[[float], str]) -> str:
    """`10.1 KiB (9.9 KiB to 10.3 KiB)`."""
    if found is None:
        return NONE
    ends = [NONE if end is None else show(end) for end in (found.low, found.high)]
    return f"{show(found.value)} ({ends[0]} to {ends[1]})"


def size(value: float) -> str:
    """Bytes for people, with their sign."""
    return format_value(value, "bytes")


def count(value: float) -> str:
    """A whole number of objects; none below 0."""
    return f"{max(0.0, value):,.0f}"


def fits(result: Capacity) -> Table:
    """The four lines."""
    rows = [_fit(item) for item in result.fits]
    headers = ["memory", "runs", "without objects", "per object", "per byte", "noise of a run", "straight?", "why"]
    return Table("Memory charged, as a line of the count", headers, rows, (1, 2, 3, 4, 5), "95 % intervals")


def _fit(item: MemoryFit) -> list[str]:
    return [
        NAMES[item.memory], str(item.runs), interval(item.base, size), interval(item.per_object, size),
        interval(item.per_byte, lambda value: f"{value:.2f}"), NONE if item.noise is None else size(item.noise),
        item.straight or NONE, clean(item.sentence),
    ]  # fmt: skip


def boundaries(result: Capacity) -> Table:
    """Predicted and real."""
    headers = [
        "under",
        "what",
        "predicted",
        "half die at",
        "1 % die at",
        "error",
        "lived",
        "killed",
        "thrashing",
        "not valid",
        "",
    ]
    rows = [_boundary(item) for item in result.boundaries]
    return Table("Where it dies", headers, rows, tuple(range(2, 10)), "counts with 95 % intervals")


def _boundary(item: Boundary) -> list[str]:
    return [
        size(item.limit_bytes), WHATS[item.what], interval(item.predicted, count), interval(item.half, count),
        interval(item.kept, count), NONE if item.error is None else f"{item.error:+.1%}", str(item.survived),
        str(item.killed), str(item.thrashing), str(item.invalid), clean(item.reason or item.refused or ""),
    ]  # fmt: skip


def needs(result: Capacity) -> Table:
    """What the count that was asked about needs."""
    headers = ["objects", "what", "peak", "limit to give", ""]
    rows = [
        [
            f"{item.count:,}", WHATS[item.what], interval(item.peak, size),
            NONE if item.limit_bytes is None else size(item.limit_bytes), clean(item.refused or ""),
        ]
        for item in result.needs
    ]  # fmt: skip
    return Table("What they need", headers, rows, (0, 2, 3), "99 of 100 runs stay below the limit to give")


def per_object(result: Capacity) -> list[str]:
    """What an object takes, in sentences."""
    if result.per_object is None or result.bytes_per_object is None:
        return []
    found = [
        f"each {clean(result.kind)} takes {interval(result.per_object, size)} once settled",
        f"as sent it has {size(result.bytes_per_object)}: amplification {interval(result.amplification, _times)}",
    ]
    if result.payload_amplification is not None:
        found.append(
            f"each further byte of it takes {interval(result.payload_amplification, lambda v: f'{v:.2f}')} bytes"
        )
    return found


def _times(value: float) -> str:
    return f"{value:.2f}x"


def runs(result: Capacity) -> Table:
    """Every run of the ladder."""
    headers = ["run", "objects", "payload", "idle", "peak", "settled", "restarted: peak", "settled ", ""]
    rows = [
        [
            clean(run.run_id), f"{run.count:,}", f"x {run.size_factor:g}",
            *(NONE if value is None else size(value) for value in
              (run.idle, run.growth_peak, run.growth_settled, run.cold_peak, run.cold_settled)),
            clean(run.reason or ""),
        ]
        for run in sorted(result.ladder, key=lambda item: (item.size_factor, item.count))
    ]  # fmt: skip
    return Table("The ladder", headers, rows, (1, 2, 3, 4, 5, 6, 7))


def trials(result: Capacity) -> Table:
    """Every run under the real limit."""
    rows = [
        [
            clean(trial.run_id), WHATS[item.what], f"{trial.count:,}", trial.outcome,
            NONE if trial.peak is None else size(trial.peak), clean(trial.reason or ""),
        ]
        for item in result.boundaries
        for trial in sorted(item.trials, key=lambda each: each.count)
    ]  # fmt: skip
    return Table("Runs under the real limit", ["run", "what", "objects", "outcome", "peak", ""], rows, (2, 4))
