"""What looks into a subject during a window: memray into a Python process, pprof's handler of a Go process."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from harness.collectors import fold
from harness.collectors.attach import entry
from harness.collectors.attach.session import Attachment
from harness.collectors.gopull import CPU, GoPuller, Pulled
from harness.collectors.memray_report import publish
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.handles import Launch, Progress, RunContext, Subject

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
    return entry.refusal(launch)


@dataclass(slots=True)
class _Capture:
    """What memray wrote of one process in one window."""

    window: int
    path: Path
    phase: str
    replica: int | None
    """Of several, which."""
    killed: bool = False
    """The process died in the window, and not because we told it to."""

    @property
    def facts(self) -> dict[str, object]:
        """For its event."""
        return {"attached": self.phase, "window": str(self.window)} | (
            {} if self.replica is None else {"replica": self.replica}
        )


class Memray:
    """memray, attached and detached; a capture for each window and process. Of replicas into each, a process one by one."""

    name: str = "memray"
    heavy: bool = True

    def __init__(self, launch: Launch, progress: Progress) -> None:
        self._launch = launch
        self._progress = progress
        self._folder = launch.run_dir / "profiles"
        self._context: RunContext | None = None
        self._attached: list[tuple[Attachment, _Capture, Subject]] = []
        self._taken: list[_Capture] = []

    async def prepare(self) -> None:
        self._folder = await entry.prepare(self._launch, self._progress)

    def attach(self, context: RunContext) -> None:
        self._context = context

    async def open(self, number: int, phase: str) -> dict[str, Any]:
        assert self._context is not None
        replicas = self._context.subject.replicas
        found: list[dict[str, Any]] = []
        faults: list[HarnessError] = []
        try:
            for place, replica in enumerate(replicas):
                which = place if len(replicas) > 1 else None
                try:
                    found.append(await self._look_into(replica, which, number, phase))
                except HarnessError as error:  # one of two that is being restarted must not hide the other
                    faults.append(error)
        except BaseException:
            await self._leave()
            raise
        if not found:
            raise faults[0]
        for fault in faults:
            self._launch.sink.event(
                "warning", source="on-demand", message=f"window {number} is without one replica: {fault}"
            )
        return found[0] if len(replicas) == 1 else {"replicas": found}

    async def _look_into(self, replica: Subject, which: int | None, number: int, phase: str) -> dict[str, Any]:
        name = f"memray-{phase}-{number}" + ("" if which is None else f"-replica-{which}")
        capture = _Capture(number, self._folder / f"{name}.bin", phase, which)
        attachment = await entry.enter(self._launch, replica.pids(), capture.path, self._progress)
        self._attached.append((attachment, capture, replica))
        self._taken.append(capture)
        proof = attachment.proof
        return {
            **({} if which is None else {"replica": which}),
            "pid": attachment.target.pid, "how": attachment.how, "stopped_s": attachment.stopped_s,
            "answered_s": proof.seconds if proof else None, "main": proof.main if proof else None,
        }  # fmt: skip

    async def close(self, number: int, phase: str) -> None:  # noqa: ARG002  # of the protocol
        if fault := await self._leave():
            raise fault

    async def _leave(self) -> HarnessError | None:
        """Detach from all; why one that lives did not let go."""
        attached, self._attached = self._attached, []
        fault: HarnessError | None = None
        for attachment, capture, replica in attached:
            try:
                await attachment.detach()
            except HarnessError as error:
                if capture.replica is None or attachment.target.pid in replica.pids():
                    fault = fault or error
                else:
                    capture.killed = True  # by a failover: another process is in its place by now, or will be
            ending = replica.ending()
            capture.killed |= ending is not None and ending.abrupt
        return fault

    async def finish(self) -> list[str]:
        problems: list[str] = []
        until = time.monotonic() + _READ_S
        told: list[tuple[_Capture, dict[str, object]]] = []
        # The last first: where the subject was killed, that is the one the page about the kill wants.
        newest = sorted({capture.window for capture in self._taken})[-_LAST_DRAWN:]
        for capture in reversed(self._taken):
            try:
                async with asyncio.timeout(max(0.0, until - time.monotonic())):
                    path = await asyncio.to_thread(entry.into_record, capture.path, self._launch.run_dir)
                    event = await publish(
                        path, self._launch.run_dir, _Deaf(problems), killed=capture.killed,
                        graph=capture.window in newest, **capture.facts,
                    )  # fmt: skip
                    told.append((capture, event))
            except HarnessError as error:
                problems.append(f"window {capture.window}: {error}")
            except TimeoutError:
                problems.append(
                    f"window {capture.window}: no time was left to read {capture.path.name}; memray stats reads it"
                )
        # Readers take the last one for the newest: of two replicas that which was killed.
        for _, event in sorted(told, key=lambda item: (item[0].window, item[0].killed)):
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
        self._pullers: list[GoPuller] = []
        self._kept: list[fold.Kept] = []
        self._where = ""
        self._problems: list[str] = []

    async def prepare(self) -> None:
        (self._launch.run_dir / "profiles").mkdir(parents=True, exist_ok=True)

    def attach(self, context: RunContext) -> None:
        replicas = context.subject.replicas
        if any(replica.pprof_url is None for replica in replicas):
            raise EnvironmentFault("the subject has no pprof URL", remedy="set subject.pprof")
        self._pullers = [
            GoPuller(
                replica, partial(self._take, number if len(replicas) > 1 else None), self._problems.append,
                window_s=_CPU_WINDOW_S, windows=(CPU,),
            )
            for number, replica in enumerate(replicas)
        ]  # fmt: skip

    async def open(self, number: int, phase: str) -> dict[str, Any]:
        before = len(self._kept)
        self._where = f"window-{number}"
        for puller in self._pullers:
            puller.phase = phase
        await asyncio.gather(*(puller.snapshot(phase) for puller in self._pullers))
        if len(self._kept) == before:
            raise HarnessError(self._problems.pop() if self._problems else "the subject's pprof gave no profile")
        for puller in self._pullers:
            puller.start()
        return {}

    async def close(self, number: int, phase: str) -> None:  # noqa: ARG002  # of the protocol
        for puller in self._pullers:
            await puller.stop()
        await asyncio.gather(*(puller.snapshot(phase) for puller in self._pullers))

    async def finish(self) -> list[str]:
        problems, self._problems = self._problems, []
        return problems + await asyncio.to_thread(fold.write, self._launch.run_dir / "profiles", self._kept)

    def _take(self, replica: int | None, pulled: Pulled) -> None:
        of_many = "" if replica is None else f"-replica-{replica}"
        file = f"{pulled.kind}-{self._where}{of_many}-{len(self._kept):04d}.pprof"
        path = self._launch.run_dir / "profiles" / file
        path.write_bytes(pulled.raw)
        self._kept.append(fold.Kept(path, pulled.name, pulled.phase, replica=replica))
        labels = {"phase": pulled.phase, "window": self._where.removeprefix("window-")}
        self._launch.sink.event(
            "profile", source="on-demand", kind=pulled.name, file=f"profiles/{file}", bytes=len(pulled.raw),
            labels=labels if replica is None else {**labels, "replica": str(replica)},
        )  # fmt: skip
