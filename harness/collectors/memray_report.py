"""What is made of a memray capture when a run is over: its stacks, the sites that held the memory, memray's own pages."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from harness.collectors.tools import run_tool
from harness.core.errors import HarnessError
from harness.core.sinks import Sink

_DEADLINE_S = 180.0
_MOUNTS = Path("/proc/self/mountinfo")
IN_MEMORY = frozenset({"tmpfs", "ramfs"})


async def publish(
    capture: Path, run_dir: Path, sink: Sink, *, killed: bool, graph: bool = True, **facts: object
) -> dict[str, Any]:
    """Write stacks and flame graphs beside a capture, and the event `memray`, which is returned. `facts` go into it.

    `killed`: the subject was killed, so that what was left is what it held then. `graph`: draw flame graphs too. Raises
    HarnessError where the capture cannot be read.
    """
    size = _size(capture)
    deadline = time.monotonic() + _DEADLINE_S
    log = capture.with_suffix(".log")
    stacks = capture.with_suffix(".stacks.json.gz")
    output = await run_tool(
        [sys.executable, "-P", "-m", "harness.collectors.memray_summary", str(capture), str(stacks)],
        name="memray-summary",
        log=log,
        timeout_s=deadline - time.monotonic(),
    )
    summary = json.loads(output)
    graphs: dict[str, str] = {}
    try:
        if graph:
            page = await _graph(capture, capture.with_suffix(".html"), log, deadline)
            graphs["flamegraph"] = str(page.relative_to(run_dir))
        if graph and killed:
            page = capture.with_name(f"{capture.stem}-at-kill.html")
            graphs["flamegraph_at_kill"] = str(
                (await _graph(capture, page, log, deadline, "--leaks")).relative_to(run_dir)
            )
    except HarnessError as error:
        sink.event("warning", source="memray", message=str(error))
    event = {
        "capture": str(capture.relative_to(run_dir)),
        "capture_bytes": size,
        "stacks": str(stacks.relative_to(run_dir)),
        "peak_bytes": summary["peak_bytes"],
        "top": summary["peak"],
        "left_bytes": summary["left_bytes"],
        "left": summary["left"],
        **graphs,
        **facts,
    }
    sink.event("memray", **event)
    if log.stat().st_size == 0:
        log.unlink()
    return event


def _size(capture: Path) -> int:
    size = capture.stat().st_size if capture.is_file() else 0
    if size == 0:
        raise HarnessError("memray wrote no capture", place=str(capture), remedy="see the subject's log")
    return size


async def _graph(capture: Path, page: Path, log: Path, deadline: float, *options: str) -> Path:
    """memray's own page, with its assets inside: records are read on machines without a network."""
    command = [sys.executable, "-P", "-m", "memray", "flamegraph", "--no-web", "--force", *options]
    await run_tool(
        [*command, "--output", str(page), str(capture)],
        name="memray-flamegraph",
        log=log,
        timeout_s=max(1.0, deadline - time.monotonic()),
    )
    return page


def captures_folder(profiles: Path, sink: Sink) -> Path:
    """A directory for captures, made; with a warning where it lies in memory that the subject's limit counts."""
    profiles.mkdir(parents=True, exist_ok=True)
    kind = filesystem_of(profiles)
    if kind in IN_MEMORY:
        sink.event(
            "warning",
            source="memray",
            message=f"{profiles} is on {kind}: the capture is charged to the subject's memory limit; use --out on a disk",
        )
    return profiles


def filesystem_of(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """Type of the file system that holds `path`, such as `ext4` or `tmpfs`; None where it cannot be told."""
    wanted, best, kind = path.resolve(), Path(), None
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        point = Path(fields[4].encode().decode("unicode_escape"))  # blanks are written as \\040
        if wanted.is_relative_to(point) and (kind is None or len(point.parts) >= len(best.parts)):
            best, kind = point, fields[fields.index("-") + 1]
    return kind
