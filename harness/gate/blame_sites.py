"""Allocation sites that hold more in the candidate than in the baseline, of pairs whose runs keep memory profiles."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import profile_diff
from harness.analysis.blame import blame_runs, diff_runs
from harness.analysis.profile_diff import Row
from harness.core.errors import HarnessError
from harness.core.stacks import Frame
from harness.core.units import format_value
from harness.gate.pairing import ARMS, Pair
from harness.record import profile_files
from harness.record.gate import Blamed
from harness.record.reader import RunRecord

CONSISTENT = 0.9
"""Share of the pairs in which anything that is blamed must have grown."""
LEAST_SHARE = 0.01
"""Of the total of its kind; less explains nothing."""
_MOST = 10
_CALLERS = 4


def grown(pairs: Sequence[Pair]) -> list[tuple[float, Blamed]]:
    """Functions that grew, each with its growth as a share of what the baseline held; empty where no pair has profiles.

    Where there are repeats, only what is more than their noise. A profile that cannot be read blames nobody.
    """
    kept = [pair for pair in pairs if has_profiles(pair)]
    sides = [[pair.sides[arm].record for pair in kept] for arm in ARMS]
    try:
        whole = diff_runs(sides[0], sides[1])
        if whole is None:
            return []
        rows = [row for row in profile_diff.blamed(whole, most=_MOST) if row.bytes.certain is not False]
        each = [
            blame_runs([before], [after], most=len(whole.rows["function"]))
            for before, after in zip(*sides, strict=True)
        ]
    except (HarnessError, OSError, ValueError):  # also: profiles of different runtimes
        return []
    found = []
    for row in rows:
        times = sum(any((row.function, row.file) == (other.function, other.file) for other in one) for one in each)
        score = row.bytes.difference / whole.bytes.before if whole.bytes.before > 0 else row.bytes.difference
        if times >= CONSISTENT * len(kept) and score >= LEAST_SHARE:
            where = f"in {times} of {len(kept)} profiled pairs"
            found.append((score, _blamed(row, where, times, len(kept))))
    return found


def grown_between(before: Sequence[RunRecord], after: Sequence[RunRecord]) -> list[Blamed]:
    """Functions that hold more in one group of runs than in another, most first. One run a side has no interval."""
    try:
        whole = diff_runs(before, after)
    except (HarnessError, OSError, ValueError):  # also: profiles of different runtimes
        return []
    if whole is None:
        return []
    rows = [row for row in profile_diff.blamed(whole, most=_MOST) if row.bytes.certain is not False]
    told = [
        _blamed(row, f"in {len(whole.before)} and {len(whole.after)} profiled runs", 0, 0)
        for row in rows
        if row.bytes.difference >= LEAST_SHARE * max(whole.bytes.before, 1.0)
    ]
    return [each.model_copy(update={"rank": number}) for number, each in enumerate(told, 1)]


def has_profiles(pair: Pair) -> bool:
    """Whether both of its runs keep stacks."""
    return set(pair.sides) == set(ARMS) and all(
        profile_files.kept_stacks(side.record) is not None for side in pair.sides.values()
    )


def _blamed(row: Row, where: str, times: int, pairs: int) -> Blamed:
    change = row.bytes
    name = Frame(row.function, row.file, row.line).text
    span = ""
    if change.low is not None and change.high is not None:
        span = f" (95 %: {_signed(change.low)} to {_signed(change.high)})"
    share = "" if row.share is None else f", {row.share:.0%} of all growth"
    words = (
        f"{name}: {format_value(change.before, 'bytes')} -> {format_value(change.after, 'bytes')}, "
        f"{_signed(change.difference)}{span}{share}, {where}"
    )
    callers = [frame.text for frame in row.callers[1 : 1 + _CALLERS]]
    return Blamed(
        rank=0, kind="allocation", name=name, unit="B", baseline=change.before, candidate=change.after,
        growth=change.difference, pairs_grown=times, pairs=pairs, sentence=words, callers=callers,
    )  # fmt: skip


def _signed(value: float) -> str:
    return f"{'+' if value >= 0 else '-'}{format_value(abs(value), 'bytes')}"
