"""Where a memory profile of a run holds its memory, as a few labelled values: enough to subtract one run's from another's."""

from __future__ import annotations

from collections import Counter

from harness.analysis.profile_places import short
from harness.core import stacks
from harness.core.stacks import Frame
from harness.record.profile_files import kept_stacks
from harness.record.reader import RunRecord
from harness.report.families import Family

SITES = Family("harness_memory_site_bytes", "Memory that a function held in the run's memory profile, told at its end", "gauge",
               ("function", "file", "moment"))  # fmt: skip
MOST_SITES = 100
"""Functions of each moment, those that hold most."""


def of(record: RunRecord) -> dict[tuple[str, ...], int]:
    """Bytes by labels of `SITES`; empty where the run kept no stacks, or none that can be read."""
    path = kept_stacks(record)
    if path is None:
        return {}
    try:
        profile = stacks.load(path)
    except (OSError, ValueError):  # the report tells it
        return {}
    found: dict[tuple[str, ...], int] = {}
    for moment, held in profile.moments.items():
        sizes: Counter[tuple[str, str]] = Counter()
        for stack, each in held.items():
            place = stack[0] if stack else Frame("(others)", "", 0)
            sizes[place.function, short(place.file)] += each.bytes
        found |= {(*place, moment): size for place, size in sizes.most_common(MOST_SITES)}
    return found
