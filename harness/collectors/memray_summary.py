"""Run as a program of its own: reads a memray capture and prints, as JSON, what held the memory.

A capture can take minutes and gigabytes to read, so this never happens in the harness's own process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from memray import FileReader

_TOP = 10
_FRAMES = 12


def summarise(path: str) -> dict[str, Any]:
    """Bytes at the highest point and at the end of a capture, with the sites that held most of them."""
    reader = FileReader(path)
    peak_bytes, peak = _by_site(reader.get_high_watermark_allocation_records(merge_threads=True))
    left_bytes, left = _by_site(reader.get_leaked_allocation_records(merge_threads=True))
    return {"peak_bytes": peak_bytes, "peak": peak, "left_bytes": left_bytes, "left": left}


def _is_launcher(file: str) -> bool:
    """Whether a frame is of memray itself or of what starts modules: below every frame of the subject."""
    return "/memray/" in file or file.endswith(("<frozen runpy>", "runpy.py"))


def _by_site(records: Iterable[Any]) -> tuple[int, list[dict[str, Any]]]:
    """Total bytes, and the largest sites: the innermost Python frame of each allocation, with its largest stack."""
    total = 0
    sites: dict[tuple[str, str, int], dict[str, Any]] = {}
    for record in records:
        total += record.size
        stack = [frame for frame in record.stack_trace() if not _is_launcher(frame[1])][:_FRAMES]
        function, file, line = stack[0] if stack else ("(no Python frame)", "", 0)
        site = sites.setdefault(
            (function, file, line),
            {"function": function, "file": file, "line": line, "bytes": 0, "allocations": 0, "largest": 0, "stack": []},
        )
        site["bytes"] += record.size
        site["allocations"] += record.n_allocations
        if record.size > site["largest"]:
            site["largest"] = record.size
            site["stack"] = [f"{name} ({path}:{number})" for name, path, number in stack]
    top = sorted(sites.values(), key=lambda site: -site["bytes"])[:_TOP]
    for site in top:
        del site["largest"]
    return total, top


if __name__ == "__main__":
    json.dump(summarise(sys.argv[1]), sys.stdout)
