"""Which functions to blame for what one set of runs holds more than another; for comparisons and gates."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import profile_diff
from harness.analysis.profile_diff import Diff, Row
from harness.core import stacks
from harness.record import profile_files
from harness.record.reader import RunRecord


def blame_runs(before: Sequence[RunRecord], after: Sequence[RunRecord], *, most: int = 10) -> list[Row]:
    """`profile_diff.blamed` over the stacks that the runs keep; empty where a side has none: nobody is blamed unseen.

    Raises ValueError or OSError where a file of a record is broken.
    """
    found = diff_runs(before, after)
    return [] if found is None else profile_diff.blamed(found, most=most)


def diff_runs(before: Sequence[RunRecord], after: Sequence[RunRecord]) -> Diff | None:
    """What the stacks of the runs say of each other; None where a side has none. Raises as `blame_runs`."""
    sides = [
        [stacks.load(path) for record in side if (path := profile_files.kept_stacks(record)) is not None]
        for side in (before, after)
    ]
    return profile_diff.diff(sides[0], sides[1]) if all(sides) else None
