"""A reference controller as a process, for the tests of this directory: its own identity and role, seen through a proxy."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.setup import prepare
from harness.core.ids import RUN_LABEL, new_run_id, subject_user
from harness.core.kinds import Kind, find
from harness.kube import rbac
from harness.kube.api import Api
from harness.process.ports import claim_port
from tests.integration.recording_proxy import RecordingProxy

LIMIT_S = 60.0
END_S = 30.0


@dataclass
class Running:
    """The process, the run it belongs to, and an administrator's view of the cluster."""

    api: Api
    run_id: str
    namespace: str
    metrics: str
    proxy: RecordingProxy
    log: Path
    process: asyncio.subprocess.Process

    async def make(self, kind: Kind, name: str, **fields: Any) -> None:
        """Create an object with these top-level fields in the run's namespace."""
        metadata = {"name": name, "labels": {RUN_LABEL: self.run_id}, **fields.pop("metadata", {})}
        body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}
        await self.api.create(kind, body, self.namespace)

    async def numbers(self) -> dict[str, float]:
        """Its series."""
        async with aiohttp.ClientSession(trust_env=False) as session, session.get(f"{self.metrics}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    async def ready(self) -> bool:
        """Whether it says that it is."""
        assert self.process.returncode is None, self.log.read_text()
        try:
            async with (
                aiohttp.ClientSession(trust_env=False) as session,
                session.get(f"{self.metrics}/readyz") as answer,
            ):
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False


async def until(condition: Callable[[], Awaitable[bool]], what: str = "") -> None:
    """Wait for it; fails after a minute."""
    deadline = time.monotonic() + LIMIT_S
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


@asynccontextmanager
async def controller(
    cluster: EmbeddedCluster,
    directory: Path,
    name: str,
    *switches: str,
    role: str = "",
    before: Callable[[Api, str], Awaitable[None]] | None = None,
    wait: bool = True,
    namespaced: bool = True,
    hold: Mapping[str, asyncio.Event] | None = None,
    program: Path | None = None,
    direct: bool = False,
) -> AsyncIterator[Running]:
    """The controller at work behind a proxy; it must end well when told to. `before` makes what it finds at its start.

    `program` is a compiled one. `direct`: it talks to the API server itself, over TLS, and nobody sees what it says.
    """
    run_id = new_run_id()
    user, address = subject_user(run_id), f"127.0.0.1:{claim_port()}"
    log = directory / f"{name}-{run_id[-5:]}.log"
    identity = await cluster.identity(user)
    proxy = RecordingProxy(identity, hold or {})
    async with await Api.connect(cluster.kubeconfig) as api:
        namespace = await prepare(api, run_id)
        await rbac.bind(api, user, role or f"harness-{name}", run_id)
        process = None
        try:
            if before is not None:
                await before(api, namespace)
            through = directory / f"{run_id[-5:]}.kubeconfig"
            async with proxy.serving(through):
                started = [str(program)] if program else [sys.executable, "-m", f"harness.controllers.{name}"]
                command = [
                    *started, "--kubeconfig", str(identity if direct else through), "--metrics-bind-address", address, *switches,
                ]  # fmt: skip
                if namespaced:
                    command += ["--namespace", namespace]
                with log.open("ab") as stderr:
                    process = await asyncio.create_subprocess_exec(*command, stderr=stderr)
                running = Running(api, run_id, namespace, f"http://{address}", proxy, log, process)
                if wait:
                    await until(running.ready, "not ready")
                yield running
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), END_S) == 0, log.read_text()
        finally:
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()
            await rbac.unbind(api, run_id)
            await api.delete(find("Namespace"), namespace)
