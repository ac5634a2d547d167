"""Run as a program of its own: reads a memray capture and prints, as JSON, what held the memory.

`memray_summary CAPTURE [STACKS]`: STACKS is a file for all stacks (core/stacks.py). A capture can take minutes and gigabytes
to read, so this never happens in the harness's own process.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from memray import FileReader

from harness.agent import SOURCE_NAME
from harness.core.stacks import Frame, Held, Stack, StackProfile, dump

_TOP = 10
_FRAMES = 12


def read(path: str) -> StackProfile:
    """Stacks at the highest point and at the end of a capture."""
    reader = FileReader(path)
    return StackProfile(
        "memray",
        Path(path).name,
        {
            "peak": _by_stack(reader.get_high_watermark_allocation_records(merge_threads=True)),
            "end": _by_stack(reader.get_leaked_allocation_records(merge_threads=True)),
        },
    )


def summarise(profile: StackProfile) -> dict[str, Any]:
    """Bytes at the highest point and at the end, with the sites that held most of them."""
    peak, end = profile.moments["peak"], profile.moments["end"]
    return {
        "peak_bytes": profile.total("peak"),
        "peak": _by_site(peak),
        "left_bytes": profile.total("end"),
        "left": _by_site(end),
    }


def _by_stack(records: Iterable[Any]) -> dict[Stack, Held]:
    stacks: dict[Stack, Held] = {}
    for record in records:
        stack = tuple(Frame(*frame) for frame in record.stack_trace() if not _is_launcher(frame[1]))
        before = stacks.get(stack, Held(0, 0))
        stacks[stack] = Held(before.bytes + record.size, before.allocations + record.n_allocations)
    return stacks


def _is_launcher(file: str) -> bool:
    """Whether a frame is of memray itself, of what starts modules, or of our own attaching: no work of the subject."""
    return "/memray/" in file or file.endswith(("<frozen runpy>", "runpy.py", SOURCE_NAME))


def _by_site(stacks: Mapping[Stack, Held]) -> list[dict[str, Any]]:
    """The largest sites: the innermost Python frame of each allocation, with its largest stack."""
    sites: dict[Frame, dict[str, Any]] = {}
    for stack, held in stacks.items():
        function, file, line = frame = stack[0] if stack else Frame("(no Python frame)", "", 0)
        site = sites.setdefault(
            frame,
            {
                "function": function,
                "file": file,
                "line": line,
                "bytes": 0,
                "allocations": 0,
                "largest": -1,
                "stack": [],
            },
        )
        site["bytes"] += held.bytes
        site["allocations"] += held.allocations
        if held.bytes > site["largest"]:
            site["largest"] = held.bytes
            site["stack"] = [f"{name} ({path}:{number})" for name, path, number in stack[:_FRAMES]]
    top = sorted(sites.values(), key=lambda site: -site["bytes"])[:_TOP]
    for site in top:
        del site["largest"]
    return top


def main() -> None:
    """Read the capture that the command line names."""
    profile = read(sys.argv[1])
    if len(sys.argv) > 2:
        dump(profile, Path(sys.argv[2]))
    json.dump(summarise(profile), sys.stdout)


if __name__ == "__main__":
    main()
