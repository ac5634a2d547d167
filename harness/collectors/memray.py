"""memray on a Python subject, from its start or attached for the load: a capture, flame graphs, the sites that held the memory.

The capture keeps every allocation (not `--aggregate`: that leaves nothing behind after a kill) and is written as it
happens, so it is readable after SIGKILL. One process is profiled; children are not followed.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness.collectors import python_command
from harness.collectors.attach.session import Attachment
from harness.collectors.attach.target import examine, inspect
from harness.collectors.base import Collector
from harness.collectors.memray_report import captures_folder, publish
from harness.core.errors import EnvironmentFault, HarnessError, RunFault, UsageError
from harness.core.handles import Launch, Progress, RunContext
from harness.core.sinks import Sink
from harness.toolchain import inject


class _Memray(Collector):
    """What both ways have in common: the subject is Python, and the capture is read after it has ended."""

    name: ClassVar[str] = "memray"
    heavy = True
    after_exit: ClassVar[bool] = True

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._capture: Path | None = None
        self._run_dir: Path | None = None
        self._sink: Sink | None = None
        self._context: RunContext | None = None
        self._facts: dict[str, Any] = {}

    async def attach(self, context: RunContext) -> None:
        self._context = context

    async def detach(self) -> None:
        """Make the flame graphs and the summary. Raises RunFault where the capture cannot be read."""
        capture, self._capture = self._capture, None
        if capture is not None and self._run_dir is not None and self._sink is not None:
            capture = await asyncio.to_thread(_into_record, capture, self._run_dir)
            await publish(capture, self._run_dir, self._sink, killed=self._was_killed(), **self._facts)

    def _was_killed(self) -> bool:
        ending = self._context.subject.ending() if self._context is not None else None
        return ending is not None and ending.kind in {"oom_limit", "oom_node", "crash"}


class MemrayCollector(_Memray):
    """`--memray launch`: puts `memray run` in front of the subject's program."""

    async def prepare(self, launch: Launch) -> None:
        _must_be_python(launch)
        assert launch.python is not None
        if launch.apart is not None:
            raise EnvironmentFault(f"{launch.apart}, so memray cannot be put into it", place=self.name)
        command = python_command.parse(
            launch.command, executable=launch.python.executable, search_path=launch.env.get("PATH")
        )
        side = await inject.ensure(launch.python, self._progress)
        folder = launch.folder("profiles") if launch.in_pod else launch.run_dir / "profiles"
        capture = captures_folder(folder, launch.sink) / "memray-start-0.bin"
        launch.command[:] = command.under(
            "-m", "memray", "run", "--quiet", "--force", "--output", launch.inside(capture)
        )
        if side not in launch.inject_dirs:
            launch.inject_dirs.append(side)
        self._capture, self._run_dir, self._sink = capture, launch.run_dir, launch.sink


class MemrayAttachCollector(_Memray):
    """`--memray attach`: nothing of it is in the subject but from the first step of the load until the system has settled.

    With `since` from the phase of that name on, and then each Python object counts by itself: for a few cycles whose small
    objects matter, an arena of pymalloc says too little.
    """

    def __init__(self, progress: Progress, since: str | None = None) -> None:
        super().__init__(progress)
        self._since = since
        self._attachment: Attachment | None = None
        self._folder = Path()
        self._tried = False

    async def prepare(self, launch: Launch) -> None:
        _must_be_python(launch)
        assert launch.python is not None
        if launch.in_pod:  # a debugger from outside its namespaces ends the container (memray #846)
            raise EnvironmentFault(
                "memray cannot be attached to a subject in a pod from outside",
                place=self.name,
                remedy="use --memray launch, or --subject-as process",
            )
        await inject.ensure(launch.python, self._progress)  # minutes, once: not while the load waits
        self._folder = captures_folder(launch.run_dir / "profiles", launch.sink)
        self._run_dir, self._sink = launch.run_dir, launch.sink

    async def phase_started(self, phase: str) -> None:
        if self._since not in (None, phase):
            return
        if self._tried or self._context is None or self._context.subject.ending() is not None:
            return
        self._tried = True
        assert self._sink is not None
        capture = self._folder / f"memray-{phase}-0.bin"
        target = await examine(python_of(self._context.subject.pids()), self._folder, self._progress)
        self._attachment = await Attachment.attach(target, capture, objects=self._since is not None)
        self._capture = capture
        proof = self._attachment.proof
        assert proof is not None
        self._facts["attached"] = phase
        self._sink.event(
            "memray_attached",
            pid=target.pid,
            how=self._attachment.how,
            stopped_s=self._attachment.stopped_s,
            answered_s=proof.seconds,
            main=proof.main,
        )

    async def settle(self) -> None:
        await self._leave()

    async def detach(self) -> None:
        try:
            await self._leave()
        except HarnessError as error:  # where the subject has ended, so has the capture, which is worth reading
            if self._sink is not None and self._context is not None and self._context.subject.ending() is None:
                self._sink.event("warning", source=self.name, message=str(error))
        await super().detach()

    async def _leave(self) -> None:
        attachment, self._attachment = self._attachment, None
        if attachment is not None and self._sink is not None:
            await attachment.detach()
            self._sink.event("memray_detached", pid=attachment.target.pid)


def python_of(pids: Sequence[int]) -> int:
    """The process to attach to: the subject's main one, or the first Python below a wrapper such as `uv run`."""
    if not pids:
        raise RunFault("the subject has ended")
    for pid in pids:
        with contextlib.suppress(UsageError):
            inspect(pid)
            return pid
    return pids[0]


def _must_be_python(launch: Launch) -> None:
    if launch.runtime != "python" or launch.python is None:
        raise UsageError(
            "memray profiles Python programs only",
            place=launch.command[0],
            remedy="leave --memray out for this subject",
        )


def _into_record(capture: Path, run_dir: Path) -> Path:
    """A capture that was written into a folder shared with a pod, as a file of the record."""
    if capture.is_relative_to(run_dir) or not capture.is_file():
        return capture
    profiles = run_dir / "profiles"
    profiles.mkdir(exist_ok=True)
    return Path(shutil.copy(capture, profiles))
