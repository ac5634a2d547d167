"""The two sides of benchmark `creates`, each a process of its own that is measured from outside in the same way."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from harness.core.errors import RunFault
from harness.core.sinks import PropagationRow, RequestRow
from harness.experiment.load import LoadGenerator
from harness.process import PIPE, Child, spawn
from tests.bench import proc

CHECKOUT = Path(__file__).resolve().parents[2]
_START_S = 60.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What one side did with the last phase of one plan, and what it took.

    `per_s`: done over the time from the phase's start to the last success. `cpu_s` and `peak_rss_bytes`: the sender's
    process, CPU of the phase alone, memory since it started. `harness_cpu_s`: CPU of the harness in that time, which
    reads the load generator's rows.
    """

    done: int
    failed: int
    per_s: float
    cpu_s: float
    peak_rss_bytes: int
    harness_cpu_s: float
    error: str | None


class Sender(Protocol):
    """A started process that is ready to send."""

    pid: int

    async def send(self, phase: str, timeout_s: float) -> Mapping[str, Any]:
        """Carry out the phase: at least `done`, `failed`, `per_s` and `error`. Raises RunFault if it breaks down."""

    async def stop(self) -> None:
        """End the process."""


@dataclass
class Discard:
    """A sink that keeps nothing but the first complaint: what a record costs is not the load generator's."""

    complaints: list[str] = field(default_factory=list)

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None:
        """See `Sink`."""

    def requests(self, rows: Sequence[RequestRow]) -> None:
        """See `Sink`."""

    def propagation(self, rows: Sequence[PropagationRow]) -> None:
        """See `Sink`."""

    def event(self, type_: str, /, **fields: object) -> None:
        """See `Sink`."""
        self.complaints.append(str(fields.get("message", type_)))


class Loadgen:
    """The load generator, driven as a run drives it."""

    def __init__(self, generator: LoadGenerator, sink: Discard) -> None:
        self.pid = generator.pid
        self._generator = generator
        self._sink = sink

    @classmethod
    async def start(cls, plan: Mapping[str, Any], directory: Path) -> Loadgen:
        """Start it and wait until it is ready."""
        sink = Discard()
        return cls(await LoadGenerator.start(plan, run_dir=directory, sink=sink, on_rows=lambda _rows: None), sink)

    async def send(self, phase: str, timeout_s: float) -> Mapping[str, Any]:
        """See `Sender`."""
        ended = await self._generator.run_phase(phase, timeout_s)
        error = self._sink.complaints[0] if self._sink.complaints else None
        return {**ended, "per_s": ended["achieved_per_s"], "error": error}

    async def stop(self) -> None:
        """See `Sender`."""
        await self._generator.stop()


class BareLoop:
    """`tests.bench.bare_loop`."""

    def __init__(self, child: Child, log: Path) -> None:
        self.pid = child.pid
        self._child = child
        self._log = log

    @classmethod
    async def start(cls, plan: Mapping[str, Any], directory: Path) -> BareLoop:
        """Start it and wait until it is ready."""
        path, log = directory / "plan.json", directory / "bare-loop.log"
        path.write_text(json.dumps(plan))
        command = [sys.executable, "-m", "tests.bench.bare_loop", str(path)]
        child = await spawn(
            command, name="bare-loop", env=dict(os.environ), cwd=CHECKOUT, stdin=PIPE, stdout=PIPE, stderr=log
        )
        loop = cls(child, log)
        try:
            await loop._answer(_START_S)
        except BaseException:
            await loop.stop()
            raise
        return loop

    async def send(self, phase: str, timeout_s: float) -> Mapping[str, Any]:
        """See `Sender`; it carries out one phase after the other."""
        assert self._child.stdin is not None
        self._child.stdin.write(b"\n")
        return await self._answer(timeout_s)

    async def stop(self) -> None:
        """See `Sender`."""
        await self._child.stop(1.0)

    async def _answer(self, timeout_s: float) -> dict[str, Any]:
        assert self._child.stdout is not None
        try:
            line = await asyncio.wait_for(self._child.stdout.readline(), timeout_s)
        except TimeoutError:
            raise RunFault(f"the bare loop said nothing for {timeout_s:.0f} s", place=str(self._log)) from None
        if not line:
            raise RunFault("the bare loop ended", place=str(self._log), remedy="its log says why")
        answer: dict[str, Any] = json.loads(line)
        return answer


@asynccontextmanager
async def _stopped(sender: Sender) -> AsyncIterator[Sender]:
    try:
        yield sender
    finally:
        await sender.stop()


async def measure(kind: type[Loadgen | BareLoop], plan: Mapping[str, Any], directory: Path) -> Sent:
    """Start a sender with files in `directory`, let it carry out `plan`, measure the last phase of it, end it."""
    *before, phase = plan["phases"]
    async with _stopped(await kind.start(plan, directory)) as sender:
        name = kind.__name__
        for each in before:
            done = await sender.send(each["name"], each["timeout_s"])
            if done["done"] != each["count"]:
                raise RunFault(f"{done['done']} of {each['count']} of phase {each['name']} were done: {done['error']}")
        before_s, own_before_s = proc.cpu_s(sender.pid, name), time.thread_time()
        did = await sender.send(phase["name"], phase["timeout_s"])
        own_s = time.thread_time() - own_before_s  # of this thread: another draws the progress
        return Sent(
            done=did["done"],
            failed=did["failed"],
            per_s=did["per_s"],
            cpu_s=proc.cpu_s(sender.pid, name) - before_s,
            peak_rss_bytes=proc.peak_rss_bytes(sender.pid, name),
            harness_cpu_s=own_s,
            error=did["error"],
        )
