"""What looks into a subject during a window: memray into a Python process, pprof's handler of a Go process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, Protocol

from harness.collectors import fold
from harness.collectors.attach.session import Attachment
from harness.collectors.attach.target import examine
from harness.collectors.gopull import CPU, GoPuller, Pulled
from harness.collectors.memray import python_of
from harness.collectors.memray_report import captures_folder, publish
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.handles import Launch, Progress, RunContext
from harness.toolchain import inject

_READ_S = 200.0
"""For reading all captures of a run; the runner gives a collector 240 s."""
_CPU_WINDOW_S = 1
_LAST_DRAWN = 3
"""Windows, from the last, that get flame graphs: each takes its time."""


class Tool(Protocol):
    """One kind of profiler, for one run."""

    name: str
    heavy: bool
    """Whether it changes what is measured while it looks."""

    async def prepare(self) -> None:
        """Before the subject starts: what takes long and must not be waited for later."""

    def attach(self, context: RunContext) -> None:
        """The subject is ready."""

    async def open(self, number: int, phase: str) -> dict[str, Any]:
        """Begin to look; facts for the event. Raises HarnessErrors."""

    async def close(self, number: int, phase: str) -> None:
        """Look no more. Raises HarnessErrors, also where the subject has ended."""

    async def finish(self) -> list[str]:
        """Read what was taken; what went wrong."""


def refusal(launch: Launch) -> HarnessError | None:
    """Why nothing can look into this subject; None where something can."""
    if launch.runtime == "go":
        return None
    if launch.runtime != "python" or launch.python is None:
        return UsageError(
            "only Python and Go programs can be profiled on demand",
            place=launch.command[0],
            remedy="write profile: continuous for this subject",
        )
    if launch.in_pod:  # a debugger from outside its namespaces ends the container (memray #846)
        return EnvironmentFault(
            "memray cannot be attached to a subject in a pod from outside", remedy="use --subject-as process"
        )
    return None


class Memray:
    """memray, attached and detached; a capture for each window."""

    name: str = "memray"
    heavy: bool = True

    def __init__(self, launch: Launch, progress: Progress) -> None:
        self._launch = launch
        self._progress = progress
        self._folder = launch.run_dir / "profiles"
        self._context: RunContext | None = None
        self._attachment: Attachment | None = None
        self._taken: list[tuple[int, Path, str, bool]] = []
        """Window, capture, phase, and whether the subject died in it."""

    async def prepare(self) -> None:
        assert self._launch.python is not None
        await inject.ensure(self._launch.python, self._progress)
        self._folder = captures_folder(self._folder, self._launch.sink)

    def attach(self, context: RunContext) -> None:
        self._context = context

    async def open(self, number: int, phase: str) -> dict[str, Any]:
        assert self._context is not None
        capture = self._folder / f"memray-{phase}-{number}.bin"
        target = await examine(python_of(self._context.subject.pids()), self._folder, self._progress)
        attachment = await Attachment.attach(target, capture)
        self._attachment = attachment
        self._taken.append((number, capture, phase, False))
        proof = attachment.proof
        return {
            "pid": target.pid, "how": attachment.how, "stopped_s": attachment.stopped_s,
            "answered_s": proof.seconds if proof else None, "main": proof.main if proof else None,
        }  # fmt: skip

    async def close(self, number: int, phase: str) -> None:  # noqa: ARG002  # of the protocol
        attachment, self._attachment = self._attachment, None
        try:
            if attachment is not None:
                await attachment.detach()
        finally:
            ending = self._context.subject.ending() if self._context is not None else None
            if ending is not None and ending.kind in {"oom_limit", "oom_node", "crash"} and self._taken:
                self._taken[-1] = (*self._taken[-1][:3], True)

    async def finish(self) -> list[str]:
        problems: list[str] = []
        until = time.monotonic() + _READ_S
        told: list[tuple[int, dict[str, object]]] = []
        # The last first: where the subject was killed, that is the one the page about the kill wants.
        for place, (number, capture, phase, killed) in enumerate(reversed(self._taken)):
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    event = await publish(
                        capture, self._launch.run_dir, _Deaf(problems), killed=killed, graph=place < _LAST_DRAWN,
                        attached=phase, window=str(number),
                    )  # fmt: skip
                    told.append((number, event))
            except HarnessError as error:
                problems.append(f"window {number}: {error}")
            except TimeoutError:
                problems.append(f"window {number}: no time was left to read {capture.name}; memray stats reads it")
        for _, event in sorted(told, key=lambda item: item[0]):  # readers take the last one for the newest
            self._launch.sink.event("memray", **event)
        self._taken.clear()
        return problems


class _Deaf:
    """A sink for what makes an event of a capture too early: only warnings are taken."""

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems

    def event(self, type_: str, /, **fields: object) -> None:
        if type_ == "warning":
            self._problems.append(str(fields["message"]))

    def sample(self, *_: object, **__: object) -> None:
        raise AssertionError("nobody samples here")

    requests = propagation = sample


class Pprof:
    """Heap and goroutines at both ends of a window, CPU in between. Cheap: a collection is not forced."""

    name: str = "pprof"
    heavy: bool = False

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._puller: GoPuller | None = None
        self._kept: list[fold.Kept] = []
        self._where = ""
        self._problems: list[str] = []

    async def prepare(self) -> None:
        (self._launch.run_dir / "profiles").mkdir(parents=True, exist_ok=True)

    def attach(self, context: RunContext) -> None:
        if context.subject.pprof_url is None:
            raise EnvironmentFault("the subject has no pprof URL", remedy="set subject.pprof")
        self._puller = GoPuller(
            context.subject, self._take, self._problems.append, window_s=_CPU_WINDOW_S, windows=(CPU,)
        )

    async def open(self, number: int, phase: str) -> dict[str, Any]:
        assert self._puller is not None
        before = len(self._kept)
        self._where = f"window-{number}"
        self._puller.phase = phase
        await self._puller.snapshot(phase)
        if len(self._kept) == before:
            raise HarnessError(self._problems.pop() if self._problems else "the subject's pprof gave no profile")
        self._puller.start()
        return {}

    async def close(self, number: int, phase: str) -> None:  # noqa: ARG002  # of the protocol
        if self._puller is not None:
            await self._puller.stop()
            await self._puller.snapshot(phase)

    async def finish(self) -> list[str]:
        problems, self._problems = self._problems, []
        return problems + await asyncio.to_thread(fold.write, self._launch.run_dir / "profiles", self._kept)

    def _take(self, pulled: Pulled) -> None:
        file = f"{pulled.kind}-{self._where}-{len(self._kept):04d}.pprof"
        path = self._launch.run_dir / "profiles" / file
        path.write_bytes(pulled.raw)
        self._kept.append(fold.Kept(path, pulled.name, pulled.phase))
        self._launch.sink.event(
            "profile", source="on-demand", kind=pulled.name, file=f"profiles/{file}", bytes=len(pulled.raw),
            labels={"phase": pulled.phase, "window": self._where.removeprefix("window-")},
        )  # fmt: skip
