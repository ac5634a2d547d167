"""`python -m harness.collectors.memray_pprof CAPTURE PROFILE`: what a memray capture held at its peak, as a pprof profile.

One snapshot of the heap: `inuse_objects` and `inuse_space`. A process of its own, for a capture may be large.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from memray import FileReader

from harness.collectors.pprof_write import Frame, encode

TYPES = (("inuse_objects", "count"), ("inuse_space", "bytes"))
PERIOD = ("space", "bytes")
_DEEPEST = 200


def convert(capture: str) -> bytes:
    """The profile, gzip'd. Raises OSError where memray cannot read the capture."""
    reader = FileReader(capture)
    return encode(
        TYPES,
        _by_stack(reader.get_high_watermark_allocation_records(merge_threads=True)),
        period=PERIOD,
        time_ns=time.time_ns(),
    )


def _by_stack(records: Iterable[Any]) -> list[tuple[tuple[Frame, ...], list[int]]]:
    found: dict[tuple[Frame, ...], list[int]] = defaultdict(lambda: [0, 0])
    for record in records:
        stack = tuple(record.stack_trace()[:_DEEPEST]) or (("(no Python frame)", "", 0),)
        values = found[stack]
        values[0] += record.n_allocations
        values[1] += record.size
    return list(found.items())


if __name__ == "__main__":
    try:
        Path(sys.argv[2]).write_bytes(convert(sys.argv[1]))
    except OSError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
