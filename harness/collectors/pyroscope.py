"""Continuous profiling: of a Python subject by pyroscope-io, of a Go subject through its pprof handler.

Every profile passes through an endpoint of our own on loopback and is kept in the record, so that the report has flame graphs
without a server. With a server it is passed on, with the labels run_id, scenario, arm, phase and commit. CPU only for Python
unless memory is asked for: that costs a quarter and more of the subject's CPU time and changes its memory.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import ClassVar

import aiohttp

from harness.agent import side_dir
from harness.collectors import fold
from harness.collectors.base import Collector
from harness.collectors.gopull import GoPuller, Pulled
from harness.collectors.ingest import IngestServer, Upload
from harness.collectors.pushing import Pusher, page, tag, without_secrets
from harness.collectors.tools import run_tool
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.handles import Launch, Progress, RunContext
from harness.core.sinks import Sink
from harness.toolchain import inject

SETTINGS_ENV = "HARNESS_PYROSCOPE"
_UPLOAD_S = 5
_ASK_S = 3.0
_CONVERT_S = 120.0
_LAST_SENT_S = 20.0
_LOOPBACK = "127.0.0.1"


class PyroscopeCollector(Collector):
    """Writes `profiles/*.pprof` with an event each, and folded stacks of them; passes them on to a server."""

    name: ClassVar[str] = "pyroscope"
    after_exit: ClassVar[bool] = True  # what was sampled last is sent on the way out

    def __init__(self, progress: Progress, *, server: str | None = None, memory: bool = False) -> None:
        """`server`: URL of a real Pyroscope server; None keeps the profiles in the record. `memory`: profile that too."""
        self.heavy = memory
        self._progress = progress
        self._server = server
        self._pusher = None if server is None else Pusher(server)
        self._memory = memory
        self._ingest: IngestServer | None = None
        self._puller: GoPuller | None = None
        self._sink: Sink | None = None
        self._run_dir = Path()
        self._labels: dict[str, str] = {}
        self._phase = "start"
        self._began_s = int(time.time())
        self._kept: list[fold.Kept] = []
        self._sending: set[asyncio.Task[None]] = set()
        self._refused = False
        self._prepared = False

    async def prepare(self, launch: Launch) -> None:
        if launch.runtime == "other" or (launch.runtime == "python" and launch.python is None):
            raise UsageError(
                "only Python and Go programs can be profiled continuously",
                place=launch.command[0],
                remedy="leave --pyroscope out for this subject",
            )
        if launch.in_pod and launch.runtime == "python" and self._server is None:
            raise EnvironmentFault(
                "a pod cannot reach the harness on this machine's loopback, so no profile would arrive",
                place=self.name,
                remedy="give --pyroscope the URL of a server that pods reach",
            )
        self._sink, self._run_dir = launch.sink, launch.run_dir
        (launch.run_dir / "profiles").mkdir(parents=True, exist_ok=True)
        self._labels = {tag(key): value for key, value in {**launch.labels, "run_id": launch.run_id}.items() if value}
        if self._server is not None and not launch.in_pod and not await _answers(self._server):
            message = f"the Pyroscope server {without_secrets(self._server)} does not answer: its profiles will be lost"
            launch.sink.event("warning", source=self.name, message=message)
        if launch.python is not None:
            await self._inject(launch)
        self._prepared = True

    async def _inject(self, launch: Launch) -> None:
        assert launch.python is not None
        side = await inject.ensure(launch.python, self._progress)
        address = self._server if launch.in_pod else None
        if address is None:
            self._ingest = IngestServer(self._take)
            await self._ingest.start()
            address = self._ingest.url
            _bypass_proxy(launch.env)
        launch.env[SETTINGS_ENV] = json.dumps(
            {
                "application_name": self._labels.get("scenario", "subject"),
                "server_address": address,
                "tags": self._labels,
                "upload_interval": _UPLOAD_S,
                "mem_enabled": self._memory,
                "flush_at_exit": self._ingest is not None,
            }
        )
        launch.inject_dirs += [path for path in (side_dir(), side) if path not in launch.inject_dirs]

    async def attach(self, context: RunContext) -> None:
        if context.subject.runtime == "go":
            puller = GoPuller(context.subject, self._take_pulled, self._warn)
            puller.start()
            self._puller = puller

    async def phase_started(self, phase: str) -> None:
        self._phase = phase
        if self._puller is not None:
            self._puller.phase = phase

    async def phase_ended(self, phase: str) -> None:
        if self._puller is not None:
            await self._puller.snapshot(phase)

    async def settle(self) -> None:
        phase = self._phase = "idle" if self._phase == "start" else "settled"
        if self._puller is not None:
            self._puller.phase = phase
            await self._puller.snapshot(phase, collect=True)

    async def restarting(self) -> None:
        if self._puller is not None:
            await self._puller.stop()

    async def restarted(self) -> None:
        if self._puller is not None:
            self._puller.start()

    async def ending(self) -> None:
        await self.restarting()

    async def detach(self) -> None:
        prepared, self._prepared = self._prepared, False
        await self.ending()
        if self._ingest is not None:
            await self._ingest.stop()
        if not prepared or self._sink is None:
            return
        await self._send_captures()
        if not self._kept:
            why = "was its Python started with -E, -I or -S, or killed within 5 s?"
            self._warn(f"the subject sent no profile; {why}" if self._ingest else "the subject's pprof gave no profile")
        for problem in await asyncio.to_thread(fold.write, self._run_dir / "profiles", self._kept):
            self._warn(problem)
        if self._sending:
            await asyncio.wait(self._sending, timeout=_LAST_SENT_S)
        if self._server is not None:
            self._link(self._server)

    def _take(self, upload: Upload) -> None:
        """A profile of pyroscope-io: only stored here and decoded after the measurement, for that would hold the loop."""
        labels = {key: value for key, value in upload.labels.items() if not key.startswith("__")}
        self._keep(upload.labels.get("__name__", "profile"), "pyroscope", {**labels, "phase": self._phase}, upload.raw)

    def _take_pulled(self, pulled: Pulled) -> None:
        labels = {"service_name": self._labels.get("scenario", "subject"), **self._labels, "phase": pulled.phase}
        self._keep(pulled.name, pulled.kind, labels, pulled.raw)

    def _keep(self, name: str, source: str, labels: dict[str, str], raw: bytes) -> None:
        assert self._sink is not None
        kind = re.sub(r"[^a-z0-9_]", "_", name.lower())
        file = f"{source}-{kind}-{len(self._kept):04d}.pprof"
        if source != "pyroscope":
            file = f"{source}-{labels['phase']}-{len(self._kept):04d}.pprof"
        path = self._run_dir / "profiles" / file
        path.write_bytes(raw)
        self._kept.append(fold.Kept(path, kind, labels.get("phase", "")))
        self._sink.event(
            "profile", source=self.name, kind=kind, file=f"profiles/{file}", bytes=len(raw), labels=labels
        )  # fmt: skip
        if self._pusher is not None:
            task = asyncio.create_task(self._send(self._pusher, name, labels, raw), name="pyroscope-push")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send(self, pusher: Pusher, name: str, labels: dict[str, str], raw: bytes) -> None:
        try:
            await pusher.push(name, labels, raw)
        except HarnessError as error:
            if not self._refused:
                self._refused = True
                self._warn(str(error))

    async def _send_captures(self) -> None:
        """What memray captured, as one snapshot of the heap each; now that nothing is measured any more."""
        for capture in sorted((self._run_dir / "profiles").glob("memray-*.bin")):
            target = capture.with_suffix(".pprof")
            command = [sys.executable, "-P", "-m", "harness.collectors.memray_pprof", str(capture), str(target)]
            try:
                await run_tool(
                    command, name="memray-pprof", log=capture.with_suffix(".pprof.log"), timeout_s=_CONVERT_S
                )
                raw = await asyncio.to_thread(target.read_bytes)
            except (HarnessError, OSError) as error:
                self._warn(f"{capture.name} cannot be sent: {error}")
                continue
            target.unlink()
            capture.with_suffix(".pprof.log").unlink(missing_ok=True)
            labels = {"service_name": self._labels.get("scenario", "subject"), **self._labels}
            self._keep("memory", "memray", {**labels, "phase": "peak"}, raw)

    def _link(self, server: str) -> None:
        assert self._sink is not None
        found = {kind for kept in self._kept if (kind := kept.profile_type)}
        wanted = {"service_name": self._labels.get("scenario", "subject"), "run_id": self._labels["run_id"]}
        until = int(time.time()) + 1
        links = {kind: page(server, kind, wanted, self._began_s, until) for kind in sorted(found)}
        self._sink.event("pyroscope", server=without_secrets(server), links=links)

    def _warn(self, message: str) -> None:
        if self._sink is not None:
            self._sink.event("warning", source=self.name, message=message)


def _bypass_proxy(env: dict[str, str]) -> None:
    """A proxy in the subject's environment must not get what is meant for loopback."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in env.get(name, "").split(",") if host]
        if _LOOPBACK not in hosts:
            env[name] = ",".join([*hosts, _LOOPBACK])


async def _answers(url: str) -> bool:
    """Whether anybody speaks HTTP there; what it says to a profile is told when one is sent."""
    timeout = aiohttp.ClientTimeout(total=_ASK_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session, session.get(url):
            return True
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False
