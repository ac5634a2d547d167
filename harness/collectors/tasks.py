"""asyncio tasks, event-loop lag and live heap of the subject, told by an agent inside it (Python), or its pprof (Go).

Every Python process that the subject starts or forks connects to our Unix socket, and the sums go on record. What runs
inside the subject is described in `harness.agent`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.agent import side_dir
from harness.collectors import census, goheap, goruntime
from harness.collectors.base import Collector
from harness.core.errors import MALFORMED, EnvironmentFault, RunFault
from harness.core.handles import Launch, RunContext

SOCKET_ENV = "HARNESS_AGENT_SOCKET"
_CONNECT_S = 5.0
_COLLECT_S = 6.0
_CENSUS_S = 2.0
_TRIM_S = 10.0
_LINE_LIMIT = 1 << 20
_SUN_PATH = 108
_MAX_BACKFILL = 600


@dataclass(slots=True, eq=False)
class _Process:
    """One connected process and what it said last."""

    writer: asyncio.StreamWriter
    pid: int = 0
    probe_ns: int = 0
    replica: int | None = None
    tasks: int | None = None
    names: dict[str, int] = field(default_factory=dict)
    cpu_ns: int = 0
    heap: asyncio.Future[dict[str, Any]] | None = None
    census: asyncio.Future[dict[str, Any]] | None = None
    trim: asyncio.Future[dict[str, Any]] | None = None


class TasksCollector(Collector):
    """Samples `tasks`, `loop.lag` and, at rest after a forced collection, `memory.heap`."""

    name: ClassVar[str] = "tasks"

    def __init__(self, *, heap_profiles: bool = False) -> None:
        """`heap_profiles`: of a Go subject, keep one each time the system is at rest, not only at the end."""
        self._heap_profiles = heap_profiles
        self._rests = 0
        self._context: RunContext | None = None
        self._server: asyncio.Server | None = None
        self._directory: Path | None = None
        self._processes: list[_Process] = []
        self._handlers: set[asyncio.Task[None]] = set()
        self._connected = asyncio.Event()
        self._written: dict[str, int] = {}
        self._ended_cpu_ns = 0
        self._total: int | None = None
        self._apart: str | None = None

    @property
    def total(self) -> int | None:
        """Tasks of all processes by their newest reports, for live displays."""
        return self._total

    async def prepare(self, launch: Launch) -> None:
        if launch.runtime != "python" or launch.python is None:
            return
        if launch.apart is not None:
            self._apart = launch.apart
            return
        # Not in the run directory: a socket's path must fit into 108 bytes.
        self._directory = Path(tempfile.mkdtemp(prefix="hns-")) if launch.shared is None else launch.folder("agent")
        path = self._directory / "agent"
        if launch.shared is not None:
            self._server = await self._serve_in(self._directory)
            path.chmod(0o666)
            launch.agent_socket = path
            launch.env[SOCKET_ENV] = launch.inside(path)
            launch.inject_dirs += [] if side_dir() in launch.inject_dirs else [side_dir()]
            return
        if len(bytes(path)) >= _SUN_PATH:
            self._remove_directory()
            raise EnvironmentFault(
                f"{path} is too long for a Unix socket", place=self.name, remedy="set TMPDIR to a shorter path"
            )
        self._server = await asyncio.start_unix_server(self._serve, path, limit=_LINE_LIMIT)
        path.chmod(0o600)
        launch.agent_socket = path
        launch.env[SOCKET_ENV] = str(path)
        if side_dir() not in launch.inject_dirs:
            launch.inject_dirs.append(side_dir())

    async def attach(self, context: RunContext) -> None:
        runtime = context.subject.runtime
        if runtime == "other":
            raise EnvironmentFault("the subject is neither Python nor Go: its tasks cannot be counted", place=self.name)
        if runtime == "python":
            if self._server is None:
                why = self._apart or "the subject's interpreter is not known"
                raise EnvironmentFault(f"{why}, so nothing was injected", place=self.name)
            try:
                async with asyncio.timeout(_CONNECT_S):
                    await self._connected.wait()
            except TimeoutError:
                raise RunFault(
                    f"the agent inside the subject did not connect within {_CONNECT_S:.0f} s",
                    place=self.name,
                    remedy="an interpreter run with -I, -E or -S, or without PYTHONPATH, cannot be observed from inside",
                ) from None
        self._context = context

    async def settle(self) -> None:
        await self._read_heap()
        if self._heap_profiles and self._context is not None and self._context.subject.runtime == "go":
            self._rests += 1
            await goheap.keep(self._context, f"rest-{self._rests}")

    async def look(self) -> None:
        """Force a collection and read the heap once more, without a census."""
        if self._context is not None and self._context.subject.runtime == "python":
            await self._read_heap(count=False)
        elif self._context is not None:
            await self._read_go(self._context)

    async def detach(self) -> None:
        context, self._context = self._context, None
        if context is not None and context.subject.runtime == "go":
            await goheap.keep(context, "end")
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for process in self._processes:
            process.writer.close()
        for handler in list(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        self._remove_directory()

    async def _serve_in(self, directory: Path) -> asyncio.Server:
        """Listen in a folder whose path may be too long for a socket: it is named by an open descriptor meanwhile.

        The subject knows it by the short path that it has in the pod.
        """
        handle = os.open(directory, os.O_PATH | os.O_DIRECTORY)
        try:
            return await asyncio.start_unix_server(self._serve, f"/proc/self/fd/{handle}/agent", limit=_LINE_LIMIT)
        finally:
            os.close(handle)

    def _remove_directory(self) -> None:
        directory, self._directory = self._directory, None
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        self._handlers.add(handler)
        process = _Process(writer)
        self._processes.append(process)
        try:
            while line := await reader.readline():
                self._take(process, json.loads(line))
        except (OSError, asyncio.CancelledError):
            pass  # a process killed in the middle of a line, or the end of the run
        except MALFORMED:
            pass  # the same, or no agent of ours: whoever it is, it is not listened to any longer
        finally:
            self._handlers.discard(handler)
            self._processes.remove(process)
            self._ended_cpu_ns += process.cpu_ns
            for awaited in (process.heap, process.census, process.trim):
                if awaited is not None and not awaited.done():
                    awaited.cancel()
            writer.close()

    def _take(self, process: _Process, message: dict[str, Any]) -> None:
        match message.get("type"):
            case "hello":
                process.pid, process.probe_ns = int(message["pid"]), int(message["probe_ns"])
                self._connected.set()
            case "report":
                if "tasks" in message:
                    names = {str(name): int(count) for name, count in message.get("names", {}).items()}
                    process.tasks = None if message["tasks"] is None else int(message["tasks"])  # null: no asyncio
                    process.names = names
                    if message.get("rest"):
                        process.names["(rest)"] = int(message["rest"])
                process.cpu_ns = int(message["cpu_ns"])
                if self._context is not None:
                    self._write(self._context, process, message)
            case "collect":
                if process.heap is not None and not process.heap.done():
                    process.heap.set_result(message)
            case "census":
                if process.census is not None and not process.census.done():
                    process.census.set_result(message)
            case "trim":
                if process.trim is not None and not process.trim.done():
                    process.trim.set_result(message)

    def _write(self, context: RunContext, process: _Process, message: dict[str, Any]) -> None:
        sink, clock = context.sink, context.clock
        t_ns = clock.from_monotonic_ns(message["t_ns"])
        counts = [item.tasks for item in self._processes if item.tasks is not None]
        if counts:
            self._total = sum(counts)
            sink.sample(self.name, "tasks", self._total, t_ns=t_ns)
            self._write_replicas(context, t_ns)
        names: dict[str, int] = dict.fromkeys(self._written, 0)
        for item in self._processes:
            for name, count in item.names.items():
                names[name] = names.get(name, 0) + count
        for name, count in names.items():
            if self._written.get(name) != count:
                sink.sample(self.name, "tasks", count, {"coroutine": name}, t_ns)
        self._written = {name: count for name, count in names.items() if count}
        for sent_ns, lag_ns in message["lags"]:
            for at_ns, value_ns in backfill(sent_ns, lag_ns, process.probe_ns):
                sink.sample(self.name, "loop.lag", value_ns / 1e9, t_ns=clock.from_monotonic_ns(at_ns))
        spent_ns = self._ended_cpu_ns + sum(item.cpu_ns for item in self._processes)
        sink.sample(self.name, "overhead.agent.cpu", spent_ns / 1e9, t_ns=t_ns)

    def _write_replicas(self, context: RunContext, t_ns: int) -> None:
        """The tasks of each of several replicas."""
        replicas = context.subject.replicas
        for number in range(len(replicas)) if len(replicas) > 1 else ():
            own = [each.tasks for each in self._processes if each.tasks is not None and self._replica(each) == number]
            if own:
                context.sink.sample(self.name, "tasks", sum(own), {"replica": str(number)}, t_ns)

    def _replica(self, process: _Process) -> int | None:
        """Which replica a connected process belongs to; looked up once, for that reads /proc."""
        if process.replica is None and self._context is not None:
            for number, replica in enumerate(self._context.subject.replicas):
                if process.pid in replica.pids():
                    process.replica = number
        return process.replica

    def _largest_replica(self, asked: list[_Process], answers: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers of the replica with the largest heap, of all processes where there are no replicas."""
        by_replica: dict[int | None, dict[int, dict[str, Any]]] = {}
        several = self._context is not None and len(self._context.subject.replicas) > 1
        for process in asked:
            if process.pid in answers:
                number = self._replica(process) if several else None
                by_replica.setdefault(number, {})[process.pid] = answers[process.pid]
        return max((list(found.values()) for found in by_replica.values()), key=_heap_bytes, default=[])

    async def _read_go(self, context: RunContext) -> None:
        heaps = [await goruntime.heap_after_collection(each.pprof_url) for each in context.subject.replicas]
        context.sink.sample(self.name, "memory.heap", max(heaps))

    async def _read_heap(self, *, count: bool = True) -> None:
        """Force a collection in every process and write the sums; a part that one process cannot tell is left out."""
        context = self._context
        if context is None:
            return
        if context.subject.runtime == "go":
            await self._read_go(context)
            looks = [await self._goroutines(context)]
            await asyncio.sleep(census.APART_S)
            looks.append(await self._goroutines(context))
            census.write(context.sink, census.least(*looks), {})
            return
        asked = [process for process in self._processes if process.pid]
        for process in asked:
            process.heap = asyncio.get_running_loop().create_future()
            process.writer.write(b'{"command":"collect"}\n')
        waiting = [process.heap for process in asked if process.heap is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=_COLLECT_S)
        # By pid: sub-interpreters connect one by one, yet share the process's C heap.
        answers = {p.pid: p.heap.result() for p in asked if p.heap and p.heap.done() and not p.heap.cancelled()}
        missing = sum(1 for p in asked if p.heap and not p.heap.done())
        reasons = {reason for answer in answers.values() for reason in answer.get("reasons", {}).values()}
        if missing:
            reasons.add(f"{missing} of {len(asked)} processes did not answer within {_COLLECT_S:.0f} s")
        total = held = 0
        largest = self._largest_replica(asked, answers)
        for part in ("pymalloc", "malloc"):
            values = [answer[part] for answer in largest if answer.get(part) is not None]
            if values:
                context.sink.sample(self.name, "memory.heap", sum(values), {"part": part})
                total += sum(values)
            free = [answer[f"{part}_free"] for answer in largest if answer.get(f"{part}_free") is not None]
            held += sum(free)
        if total and not reasons:
            context.sink.sample(self.name, "memory.heap.free", held)
            context.sink.sample(self.name, "memory.heap", total)
        context.sink.event(
            "heap",
            processes=len(answers),
            collected=sum(answer["collected"] for answer in answers.values()),
            seconds=max((answer["seconds"] for answer in answers.values()), default=0.0),
            reasons=sorted(reasons),
        )
        if count:
            await self._write_census(context, asked, list(answers.values()))

    async def trim(self) -> str | None:
        """Let the C library of every process give its free memory back; None, or why that cannot be done."""
        asked = [process for process in self._processes if process.pid]
        if self._context is None or not asked:
            return "no agent is inside the subject"
        for process in asked:
            process.trim = asyncio.get_running_loop().create_future()
            process.writer.write(b'{"command":"trim"}\n')
        waiting = [process.trim for process in asked if process.trim is not None]
        await asyncio.wait(waiting, timeout=_TRIM_S)
        answers = [p.trim.result() for p in asked if p.trim and p.trim.done() and not p.trim.cancelled()]
        if len(answers) < len(asked):
            return f"{len(asked) - len(answers)} of {len(asked)} processes did not answer within {_TRIM_S:.0f} s"
        return next((str(answer["reason"]) for answer in answers if answer.get("trimmed") is None), None)

    async def _goroutines(self, context: RunContext) -> list[census.Row]:
        """Goroutines of all replicas."""
        return [row for each in context.subject.replicas for row in await goruntime.goroutines(each.pprof_url)]

    async def _write_census(self, context: RunContext, asked: list[_Process], answers: list[dict[str, Any]]) -> None:
        """Look a second time, and write what was there at both looks."""
        first, reasons = census.of_processes(answers)
        await asyncio.sleep(census.APART_S)
        for process in asked:
            process.census = asyncio.get_running_loop().create_future()
            process.writer.write(b'{"command":"census"}\n')
        waiting = [process.census for process in asked if process.census is not None]
        if waiting:
            await asyncio.wait(waiting, timeout=_CENSUS_S)
        again = {p.pid: p.census.result() for p in asked if p.census and p.census.done() and not p.census.cancelled()}
        second, more = census.of_processes(again.values())
        if missing := sum(1 for p in asked if p.census and not p.census.done()):
            more["late"] = f"{missing} of {len(asked)} processes did not count within {_CENSUS_S:.0f} s"
        census.write(context.sink, census.least(first, second), {**reasons, **more})


def _heap_bytes(answers: list[dict[str, Any]]) -> int:
    return sum(answer.get(part) or 0 for answer in answers for part in ("pymalloc", "malloc"))


def backfill(sent_ns: int, lag_ns: int, interval_ns: int) -> list[tuple[int, int]]:
    """The lags that probes sent every `interval_ns` would have seen during one long block.

    Only one probe is under way at a time, so a loop blocked for a second would count as one late probe among many prompt
    ones and hardly show in a p99. Pairs of (sent, lag), the measured one first.
    """
    steps = min(lag_ns // interval_ns if interval_ns > 0 else 0, _MAX_BACKFILL)
    return [(sent_ns + step * interval_ns, lag_ns - step * interval_ns) for step in range(steps + 1)]
