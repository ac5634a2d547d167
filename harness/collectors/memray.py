"""memray from the start of a Python subject: a capture, memray's own flame graph, and the sites that held the memory.

The capture keeps every allocation (not `--aggregate`: that leaves nothing behind after a kill) and is written as it
happens, so it is readable after SIGKILL. `memray run` profiles one process; children are not followed.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from pathlib import Path
from typing import ClassVar

from harness.collectors import python_command
from harness.collectors.base import Collector
from harness.collectors.tools import run_tool
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.handles import Launch, Progress, RunContext
from harness.core.sinks import Sink
from harness.toolchain import inject

_DEADLINE_S = 180.0
_MOUNTS = Path("/proc/self/mountinfo")
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


class MemrayCollector(Collector):
    """`--memray launch`: puts `memray run` in front of the subject's program."""

    name: ClassVar[str] = "memray"
    heavy = True
    after_exit: ClassVar[bool] = True

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._capture: Path | None = None
        self._run_dir: Path | None = None
        self._sink: Sink | None = None
        self._context: RunContext | None = None

    async def prepare(self, launch: Launch) -> None:
        if launch.runtime != "python" or launch.python is None:
            raise UsageError(
                "memray profiles Python programs only",
                place=launch.command[0],
                remedy="leave --memray out for this subject",
            )
        if launch.apart is not None:
            raise EnvironmentFault(f"{launch.apart}, so memray cannot be put into it", place=self.name)
        command = python_command.parse(
            launch.command, executable=launch.python.executable, search_path=launch.env.get("PATH")
        )
        side = await inject.ensure(launch.python, self._progress)
        profiles = launch.folder("profiles")
        kind = filesystem_of(profiles)
        if kind in _IN_MEMORY:
            launch.sink.event(
                "warning",
                source=self.name,
                message=f"{profiles} is on {kind}: the capture is charged to the subject's memory limit; use --out on a disk",
            )
        capture = profiles / "memray-start-0.bin"
        launch.command[:] = command.under(
            "-m", "memray", "run", "--quiet", "--force", "--output", launch.inside(capture)
        )
        if side not in launch.inject_dirs:
            launch.inject_dirs.append(side)
        self._capture, self._run_dir, self._sink = capture, launch.run_dir, launch.sink

    async def attach(self, context: RunContext) -> None:
        self._context = context

    async def detach(self) -> None:
        """Make the flame graphs and the summary. Raises RunFault where the capture cannot be read."""
        capture, self._capture = self._capture, None
        if capture is None or self._run_dir is None or self._sink is None:
            return
        if not capture.is_file() or capture.stat().st_size == 0:
            raise HarnessError("memray wrote no capture", place=str(capture), remedy="see the subject's log")
        capture = await asyncio.to_thread(_into_record, capture, self._run_dir)
        deadline = time.monotonic() + _DEADLINE_S
        log = capture.with_suffix(".log")
        output = await run_tool(
            [sys.executable, "-P", "-m", "harness.collectors.memray_summary", str(capture)],
            name="memray-summary",
            log=log,
            timeout_s=deadline - time.monotonic(),
        )
        summary = json.loads(output)
        graphs: dict[str, str] = {}
        try:
            graphs["flamegraph"] = await self._graph(capture, capture.with_name("memray-start-0.html"), log, deadline)
            if self._was_killed():
                name = "memray-start-0-at-kill.html"
                graphs["flamegraph_at_kill"] = await self._graph(
                    capture, capture.with_name(name), log, deadline, "--leaks"
                )
        except HarnessError as error:
            self._sink.event("warning", source=self.name, message=str(error))
        self._sink.event(
            "memray",
            capture=str(capture.relative_to(self._run_dir)),
            capture_bytes=capture.stat().st_size,
            peak_bytes=summary["peak_bytes"],
            top=summary["peak"],
            left_bytes=summary["left_bytes"],
            left=summary["left"],
            **graphs,
        )
        if log.stat().st_size == 0:
            log.unlink()

    def _was_killed(self) -> bool:
        ending = self._context.subject.ending() if self._context is not None else None
        return ending is not None and ending.kind in {"oom_limit", "oom_node", "crash"}

    async def _graph(self, capture: Path, page: Path, log: Path, deadline: float, *options: str) -> str:
        """memray's own page, with its assets inside: records are read on machines without a network."""
        assert self._run_dir is not None
        command = [sys.executable, "-P", "-m", "memray", "flamegraph", "--no-web", "--force", *options]
        await run_tool(
            [*command, "--output", str(page), str(capture)],
            name="memray-flamegraph",
            log=log,
            timeout_s=max(1.0, deadline - time.monotonic()),
        )
        return str(page.relative_to(self._run_dir))


def _into_record(capture: Path, run_dir: Path) -> Path:
    """A capture that was written into a folder shared with a pod, as a file of the record."""
    if capture.is_relative_to(run_dir):
        return capture
    profiles = run_dir / "profiles"
    profiles.mkdir(exist_ok=True)
    return Path(shutil.copy(capture, profiles))


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
