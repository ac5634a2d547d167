"""Continuous profiling of a Python subject by pyroscope-io, kept in the record or sent to a real Pyroscope server.

CPU only unless memory is asked for: that costs a quarter and more of the subject's CPU time and changes its memory.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from harness.agent import side_dir
from harness.collectors import pprof
from harness.collectors.base import Collector
from harness.collectors.ingest import IngestServer, Upload
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import Launch, Progress
from harness.core.sinks import Sink
from harness.toolchain import inject

SETTINGS_ENV = "HARNESS_PYROSCOPE"
_UPLOAD_S = 5
_ASK_S = 3.0
_LOOPBACK = "127.0.0.1"
_CPU = "cpu"
_OURS = "/harness_agent/"


class PyroscopeCollector(Collector):
    """Injects pyroscope-io; writes `profiles/pyroscope-*.pprof`, `profiles/cpu.folded` and an event per upload."""

    name: ClassVar[str] = "pyroscope"
    after_exit: ClassVar[bool] = True  # what was sampled last is sent on the way out

    def __init__(self, progress: Progress, *, server: str | None = None, memory: bool = False) -> None:
        """`server`: URL of a real Pyroscope server; None keeps the uploads in the record. `memory`: profile that too."""
        self.heavy = memory
        self._progress = progress
        self._server = server
        self._memory = memory
        self._ingest: IngestServer | None = None
        self._sink: Sink | None = None
        self._directory = Path()
        self._files: list[Path] = []
        self._prepared = False

    async def prepare(self, launch: Launch) -> None:
        if launch.runtime != "python" or launch.python is None:
            raise UsageError(
                "pyroscope-io profiles Python programs only",
                place=launch.command[0],
                remedy="leave --pyroscope out for this subject",
            )
        if launch.in_pod and self._server is None:
            raise EnvironmentFault(
                "a pod cannot reach the harness on this machine's loopback, so no profile would arrive",
                place=self.name,
                remedy="give --pyroscope the URL of a server that pods reach",
            )
        side = await inject.ensure(launch.python, self._progress)
        self._sink = launch.sink
        self._directory = launch.run_dir / "profiles"
        self._directory.mkdir(parents=True, exist_ok=True)
        address = self._server
        if address is None:
            self._ingest = IngestServer(self._take)
            await self._ingest.start()
            address = self._ingest.url
            _bypass_proxy(launch.env)
        elif not launch.in_pod and not await _answers(address):
            message = f"the Pyroscope server {_without_secrets(address)} does not answer: its profiles will be lost"
            launch.sink.event("warning", source=self.name, message=message)
        tags = {_tag(key): value for key, value in {**launch.labels, "run_id": launch.run_id}.items() if value}
        launch.env[SETTINGS_ENV] = json.dumps(
            {
                "application_name": tags.get("scenario", "subject"),
                "server_address": address,
                "tags": tags,
                "upload_interval": _UPLOAD_S,
                "mem_enabled": self._memory,
                "flush_at_exit": self._server is None,
            }
        )
        launch.inject_dirs += [path for path in (side_dir(), side) if path not in launch.inject_dirs]
        self._prepared = True

    async def detach(self) -> None:
        prepared, self._prepared = self._prepared, False
        if self._ingest is not None:
            await self._ingest.stop()
        if prepared and self._ingest is not None and self._sink is not None:
            if not self._files:
                message = "the subject sent no profile; was its Python started with -E, -I or -S, or killed within 5 s?"
                self._sink.event("warning", source=self.name, message=message)
            await self._fold(self._sink)

    def _take(self, upload: Upload) -> None:
        # Profiles are only stored here and decoded after the measurement: decoding would hold the event loop.
        assert self._sink is not None
        kind = re.sub(r"[^a-z0-9_]", "_", upload.labels.get("__name__", "profile").lower())
        path = self._directory / f"pyroscope-{kind}-{len(self._files):04d}.pprof"
        path.write_bytes(upload.raw)
        self._files.append(path)
        labels = {key: value for key, value in upload.labels.items() if not key.startswith("__")}
        self._sink.event(
            "profile", source=self.name, kind=kind, file=f"profiles/{path.name}", bytes=len(upload.raw), labels=labels
        )

    async def _fold(self, sink: Sink) -> None:
        stacks: Counter[str] = Counter()
        for path in self._files:
            try:
                stacks.update((await asyncio.to_thread(_decode, path)).folded(_CPU))
            except ValueError as error:
                sink.event("warning", source=self.name, message=f"{path.name}: {error}")
        if stacks:
            # The agent's own thread is not the subject's work; what it costs is a sample of the tasks collector.
            lines = [f"{stack} {value}\n" for stack, value in stacks.most_common() if _OURS not in stack]
            (self._directory / "cpu.folded").write_text("".join(lines))


def _decode(path: Path) -> pprof.Profile:
    return pprof.decode(path.read_bytes())


def _tag(name: str) -> str:
    """A label name that Pyroscope shows: letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)


def _bypass_proxy(env: dict[str, str]) -> None:
    """A proxy in the subject's environment must not get what is meant for loopback."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in env.get(name, "").split(",") if host]
        if _LOOPBACK not in hosts:
            env[name] = ",".join([*hosts, _LOOPBACK])


async def _answers(url: str) -> bool:
    """Whether anybody speaks HTTP there; what it says is between the server and pyroscope-io."""
    timeout = aiohttp.ClientTimeout(total=_ASK_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session, session.get(url):
            return True
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
