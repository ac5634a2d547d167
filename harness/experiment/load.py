"""The load generator as seen from the harness: a child process that is told phases and streams back what it did."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from harness.core.errors import RunFault
from harness.core.ids import RUN_ENV
from harness.core.sinks import RequestRow, Sink
from harness.experiment import quota
from harness.experiment.quota import StorageFull
from harness.process import PIPE, Child, last_words, spawn
from harness.record.writer import write_atomically

_READY_SECONDS = 60.0
_WATCHERS = (("load.watchers", "open"), ("load.watch_events", "events"), ("load.watch_bytes", "bytes"))
_STOP_SECONDS = 5.0
_GRACE_SECONDS = 30.0  # beyond a phase's own timeout, for its last requests


class LoadGenerator:
    """A running `python -m loadgen`. Rows go to the sink; `on_rows` sees them too."""

    def __init__(
        self,
        child: Child,
        counts: Mapping[str, int],
        sink: Sink,
        log: Path,
        on_rows: Callable[[list[RequestRow]], None],
    ) -> None:
        self.pid = child.pid
        self.supervisor_pid = child.supervisor_pid
        self._counts = counts
        self._done: Counter[str] = Counter()
        self._child = child
        self._sink = sink
        self._log = log
        self._on_rows = on_rows
        self._messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read(), name="loadgen-stream")

    @classmethod
    async def start(
        cls,
        plan: Mapping[str, Any],
        *,
        run_dir: Path,
        sink: Sink,
        on_rows: Callable[[list[RequestRow]], None],
        cpus: Collection[int] | None = None,
        wait_s: float = 0.0,
    ) -> LoadGenerator:
        """Start the generator, on `cpus` only, and wait until it is connected; `wait_s` longer, if workers come by themselves.

        Raises RunFault with its last words otherwise.
        """
        counts = {phase["name"]: phase["count"] for phase in plan["phases"]}
        plan_path, log = run_dir / "plan.json", run_dir / "loadgen.log"
        write_atomically(plan_path, json.dumps(plan, indent=1) + "\n")
        env = {**os.environ, RUN_ENV: str(plan["run_id"])}
        command = [sys.executable, "-P", "-m", "loadgen", str(plan_path)]
        child = await spawn(command, name="loadgen", env=env, stdin=PIPE, stdout=PIPE, stderr=log, cpus=cpus)
        generator = cls(child, counts, sink, log, on_rows)
        try:
            await generator._expect("ready", _READY_SECONDS + wait_s)
        except BaseException:
            await generator.stop()
            raise
        return generator

    async def run_phase(self, phase: str, timeout_s: float) -> dict[str, Any]:
        """Run one phase to its end; the contract's message of its end, with `started_ns` from that of its start."""
        ended: list[dict[str, Any]] = []
        await self.run_phases({phase: timeout_s}, ended.append)
        return ended[0]

    async def run_phases(self, phases: Mapping[str, float], on_end: Callable[[dict[str, Any]], None]) -> None:
        """Run phases (name to timeout) at the same time until all have ended; `on_end` gets the message of each end."""
        self._send({"run": list(phases)})
        started_ns: dict[str, int] = {}
        running = set(phases)
        while running:
            message = await self._expect("phase", max(phases.values()) + _GRACE_SECONDS)
            name = message["phase"]
            if name not in running:
                continue
            if message["state"] == "started":
                started_ns[name] = message["t_ns"]
            else:
                running.discard(name)
                on_end({**message, "started_ns": started_ns.get(name)})

    def requested(self, phase: str) -> int:
        """Requests that a phase is planned to send."""
        return self._counts[phase]

    def done(self, phase: str) -> int:
        """Requests of a phase that have succeeded so far."""
        return self._done[phase]

    async def stop(self) -> None:
        """End the generator; what it had sent is on record. Idempotent."""
        with contextlib.suppress(OSError, RuntimeError):
            self._send({"stop": True})
        with contextlib.suppress(TimeoutError):
            await self._child.wait(_STOP_SECONDS)
        await self._child.stop(1.0)
        with contextlib.suppress(TimeoutError, asyncio.CancelledError):
            await asyncio.wait_for(self._reader, _STOP_SECONDS)

    def _send(self, command: Mapping[str, object]) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(command).encode() + b"\n")

    async def _expect(self, type_: str, timeout_s: float) -> dict[str, Any]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            left = deadline - asyncio.get_running_loop().time()
            try:
                message = await asyncio.wait_for(self._messages.get(), max(0.0, left))
            except TimeoutError:
                raise RunFault(f"the load generator said nothing for {timeout_s:.0f} s", place=str(self._log)) from None
            if message["type"] == "full":
                raise StorageFull(message["message"])
            if message["type"] == "gone":
                raise RunFault(
                    f"the load generator ended{await self._how()}: {last_words(self._log)}", place=str(self._log)
                )
            if message["type"] == "error" and message.get("fatal"):
                raise RunFault(f"load: {message['message']}")
            if message["type"] == type_:
                return message

    async def _read(self) -> None:
        assert self._child.stdout is not None
        try:
            async for line in self._child.stdout:
                if not line.endswith(b"\n"):  # a kill cut it short
                    return
                self._take(json.loads(line))
        finally:
            self._messages.put_nowait({"type": "gone"})

    def _take(self, message: dict[str, Any]) -> None:
        type_ = message["type"]
        if type_ == "requests":
            rows = [RequestRow(*row) for row in message["rows"]]
            self._done.update(row.phase for row in rows if row.error is None)
            self._sink.requests(rows)
            self._on_rows(rows)
        elif type_ == "self":
            for metric, field in (("load.cpu", "cpu_s"), ("load.rss", "rss_bytes"), ("load.loop_lag", "loop_lag_s")):
                if message.get(field) is not None:
                    self._sink.sample("load", metric, message[field], t_ns=message["t_ns"])
            for each in message.get("workers", ()):
                labels = {"worker": each["worker"]}
                self._sink.sample("load", "load.worker.cpu", each["cpu_s"], labels, t_ns=message["t_ns"])
        elif type_ == "watchers":
            for metric, field in _WATCHERS:
                self._sink.sample("load", metric, message[field], t_ns=message["t_ns"])
        elif type_ == "worker":
            self._sink.event(
                "load_worker", **{key: value for key, value in message.items() if key not in ("type", "t_ns")}
            )
        elif type_ == "lost":
            self._sink.event("load_worker_lost", worker=message["worker"], message=message["message"])
        elif type_ == "error" and not message.get("fatal"):
            if (full := quota.told(message["message"], self._sink)) is not None:
                self._messages.put_nowait({"type": "full", "message": full.cause})
                return
            self._sink.event("warning", source="load", message=f"load: {message['message']}")
        else:
            self._messages.put_nowait(message)

    async def _how(self) -> str:
        """How its process ended, in brackets; nothing of one that only closed its output."""
        try:
            return f" ({await self._child.wait(_STOP_SECONDS)})"
        except TimeoutError:
            return ""
