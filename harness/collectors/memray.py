"""memray on a Python subject, from its start or attached for the load: a capture, flame graphs, the sites that held the memory.

The capture keeps every allocation (not `--aggregate`: that leaves nothing behind after a kill) and is written as it
happens, so it is readable after SIGKILL. One process is profiled; children are not followed.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

from harness.collectors import python_command
from harness.collectors.attach import entry
from harness.collectors.attach.session import Attachment
from harness.collectors.base import Collector
from harness.collectors.memray_report import captures_folder, publish
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
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
            capture = await asyncio.to_thread(entry.into_record, capture, self._run_dir)
            await publish(capture, self._run_dir, self._sink, killed=self._was_killed(), **self._facts)

    def _was_killed(self) -> bool:
        ending = self._context.subject.ending() if self._context is not None else None
        return ending is not None and ending.abrupt


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
        self._launch: Launch | None = None
        self._tried = False

    async def prepare(self, launch: Launch) -> None:
        _must_be_python(launch)
        assert launch.python is not None
        if (fault := entry.refusal(launch)) is not None:
            raise fault
        self._folder = await entry.prepare(launch, self._progress)
        self._launch, self._run_dir, self._sink = launch, launch.run_dir, launch.sink

    async def phase_started(self, phase: str) -> None:
        if self._since not in (None, phase):
            return
        if self._tried or self._context is None or self._context.subject.ending() is not None:
            return
        self._tried = True
        assert self._sink is not None
        capture = self._folder / f"memray-{phase}-0.bin"
        assert self._launch is not None
        self._attachment = await entry.enter(
            self._launch, self._context.subject.pids(), capture, self._progress, objects=self._since is not None
        )
        self._capture = capture
        proof = self._attachment.proof
        assert proof is not None
        self._facts["attached"] = phase
        self._sink.event(
            "memray_attached",
            pid=self._attachment.target.pid,
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


def _must_be_python(launch: Launch) -> None:
    if launch.runtime != "python" or launch.python is None:
        raise UsageError(
            "memray profiles Python programs only",
            place=launch.command[0],
            remedy="leave --memray out for this subject",
        )
