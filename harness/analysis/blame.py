"""Which functions to blame for what one set of runs holds more than another; for comparisons and gates."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.profile_diff import Row, blame
from harness.core import stacks
from harness.record import profile_files
from harness.record.reader import RunRecord


def blame_runs(before: Sequence[RunRecord], after: Sequence[RunRecord], *, most: int = 10) -> list[Row]:
    """`profile_diff.blame` over the stacks that the runs keep; empty where a side has none: nobody is blamed unseen.

    Raises ValueError or OSError where a file of a record is broken.
    """
    sides = [
        [stacks.load(path) for record in side if (path := profile_files.kept_stacks(record)) is not None]
        for side in (before, after)
    ]
    return blame(sides[0], sides[1], most=most) if all(sides) else []
