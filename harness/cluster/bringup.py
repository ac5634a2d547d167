"""Bringing up the three servers of an embedded cluster, in the order that takes the least time.

etcd first, because an API server that does not find it waits a second before it looks again; keys are made meanwhile.
The controllers come last, for they look only once a second whether the API server is ready.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.cluster import flags
from harness.cluster.audit_policy import policy
from harness.cluster.choice import ETCD_QUOTA
from harness.cluster.pki import ADMIN, MASTERS, Authority
from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.core.ids import RUN_ENV
from harness.core.kinds import Kind, find
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.kubeconfig import write_private
from harness.process import Child, spawn
from harness.process.ports import claim_port

ETCD, APISERVER, CONTROLLER_MANAGER = "etcd", "kube-apiserver", "kube-controller-manager"

_READY_LIMIT_S = 120.0
_CALL_LIMIT_S = 5.0
_POLL_S = 0.05
_PORT_TRIES = 5
_SOCKET_PATH_LIMIT = 107  # of the kernel
_BUSY_PORT = "address already in use"


@dataclass(frozen=True, slots=True)
class Running:
    """A control plane that is ready."""

    server: str
    version: str
    kubeconfig: Path
    layout: flags.Layout
    authority: Authority
    children: Mapping[str, Child]
    start_again: Callable[[], Awaitable[Child]]
    """Kills the API server, and returns its successor once that is ready."""


class Bringup:
    """One bring-up and what it has started so far. Call `abort` if `run` raises."""

    def __init__(
        self,
        *,
        name: str,
        logs: Path,
        run_id: str,
        binary: Path,
        port: int | None,
        lift_inflight: bool,
        inflight: tuple[int, int] | None = None,
        controllers: Sequence[str] = (),
        etcd_quota: int = ETCD_QUOTA,
    ) -> None:
        self._name = name
        self._logs = logs
        self._binary = binary
        self._port = port
        self._lift_inflight = lift_inflight
        self._inflight = inflight
        self._controllers = controllers
        self._etcd_quota = etcd_quota
        self._layout = flags.Layout(_private_dir())
        self._children: dict[str, Child] = {}
        self._apiserver: Sequence[str] = ()
        self._env = {"PATH": os.defpath, "HOME": str(self._layout.root), RUN_ENV: run_id}

    async def run(self, progress: Progress) -> Running:
        """Start everything; returns when namespace `default` and its service account are there."""
        progress.detail(ETCD)
        await self._spawn(ETCD, flags.etcd(self._binary, self._layout, self._etcd_quota), remove=[self._layout.root])
        authority = Authority(self._layout.pki)
        write_private(self._layout.audit_policy, json.dumps(policy()).encode())
        await self._until(ETCD, partial(_listens, self._layout.etcd_socket))
        server = await self._start_apiserver(authority, progress)
        kubeconfig = authority.kubeconfig(server, self._name, ADMIN, MASTERS)
        async with await Api.connect(kubeconfig) as api:
            progress.detail("controllers")
            account = partial(_exists, api, find("ServiceAccount"), "default", "default")
            await self._until(CONTROLLER_MANAGER, account)  # its controllers make it: they are at work
            version = await api.version()
        again = partial(self._start_again, kubeconfig)
        return Running(server, version, kubeconfig, self._layout, authority, dict(self._children), again)

    async def _start_again(self, kubeconfig: Path) -> Child:
        """The same API server anew, on its port and over the same etcd: its watch caches begin where etcd is now."""
        await self._children[APISERVER].kill()
        await self._spawn(APISERVER, self._apiserver, log="kube-apiserver-again.log")
        async with await Api.connect(kubeconfig) as api:
            await self._until(APISERVER, partial(_answers, api, "/readyz"))
        return self._children[APISERVER]

    async def abort(self) -> None:
        """Kill what was started and remove the private directory."""
        await kill_all(self._children)
        shutil.rmtree(self._layout.root, ignore_errors=True)

    async def _start_apiserver(self, authority: Authority, progress: Progress) -> str:
        """URL of a ready API server. A free port that another process took first is changed for another."""
        certificate = authority.server(*flags.SERVER_NAMES)
        for attempt in range(1, _PORT_TRIES + 1):
            port = self._port if self._port is not None else claim_port()
            server = f"https://{flags.LOOPBACK}:{port}"
            progress.detail(f"{APISERVER} on port {port}")
            command = flags.apiserver(
                self._binary,
                self._layout,
                port=port,
                ca_file=authority.ca_file,
                server=certificate,
                service_account_key=authority.service_account_key,
                lift_inflight=self._lift_inflight,
                inflight=self._inflight,
            )
            self._apiserver = command
            await self._spawn(APISERVER, command)
            try:
                await self._serve(authority.kubeconfig(server, self._name, f"system:{CONTROLLER_MANAGER}", MASTERS))
            except EnvironmentFault:
                busy = any(_BUSY_PORT in line for line in last_lines(self._log(APISERVER), 20))
                if not busy or self._port is not None or attempt == _PORT_TRIES:
                    raise
                await self._children.pop(APISERVER).kill()
                self._log(APISERVER).unlink(missing_ok=True)
            else:
                return server
        raise AssertionError("the loop returns or raises")

    async def _serve(self, kubeconfig: Path) -> None:
        """Wait for the API server that has just been started, and start its controllers meanwhile."""
        async with await Api.connect(kubeconfig) as api:
            await self._until(APISERVER, partial(_answers, api, "/readyz"))
            await self._spawn(CONTROLLER_MANAGER, flags.controller_manager(self._binary, kubeconfig, self._controllers))
            await self._until(APISERVER, partial(_exists, api, find("Namespace"), "default"))

    async def _spawn(
        self, program: str, command: Sequence[str], remove: Sequence[Path] = (), log: str | None = None
    ) -> None:
        place = self._log(program) if log is None else self._logs / log
        root = self._layout.root
        self._children[program] = await spawn(
            command, name=program, env=self._env, cwd=root, stdout=place, stderr=place, remove=remove, kill_grace_s=0
        )

    async def _until(self, program: str, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until `condition` holds; EnvironmentFault with the end of the log when a server ends or time is up."""
        try:
            async with asyncio.timeout(_READY_LIMIT_S):
                while not await condition():
                    for started, child in self._children.items():
                        if (ending := child.returned()) is not None:
                            raise self._fault(started, f"ended ({ending}) before it was ready")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise self._fault(program, f"was not ready after {_READY_LIMIT_S:g} s") from None

    def _fault(self, program: str, what: str) -> EnvironmentFault:
        lines = " | ".join(last_lines(self._log(program), 3))
        return EnvironmentFault(
            f"{program} {what}: {lines or 'it wrote nothing'}",
            place=str(self._log(program)),
            remedy="read its log; `harness doctor` says what this machine lacks",
        )

    def _log(self, program: str) -> Path:
        return self._logs / f"{program}.log"


async def kill_all(children: Mapping[str, Child]) -> None:
    """SIGKILL to all at once, the last started first; then their directories go.

    On SIGTERM the API server would wait for open watches, for a minute and more, and all it could save is thrown away.
    """
    last_first = list(children.values())[::-1]
    ended = await asyncio.gather(*(child.end(0) for child in last_first), return_exceptions=True)
    left = await asyncio.gather(*(child.release() for child in last_first), return_exceptions=True)
    for outcome in (*ended, *left):
        if isinstance(outcome, BaseException):
            raise outcome


def last_lines(file: Path, count: int) -> list[str]:
    """The last non-empty lines of a log, empty if there is none."""
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            return list(deque((line.strip() for line in lines if line.strip()), maxlen=count))
    except OSError:
        return []


def _private_dir() -> Path:
    path = Path(tempfile.mkdtemp(prefix="harness-cluster-"))  # mode 0700
    length = len(os.fsencode(flags.Layout(path).etcd_socket))
    if length > _SOCKET_PATH_LIMIT:
        path.rmdir()
        raise EnvironmentFault(
            f"the temporary directory's name is too long for a socket ({length} of {_SOCKET_PATH_LIMIT} characters)",
            place=str(path),
            remedy="set TMPDIR to a shorter one",
        )
    return path


async def _listens(unix_socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(unix_socket)
    except OSError:
        return False
    writer.close()
    return True


async def _answers(api: Api, path: str) -> bool:
    try:
        await api.transport.request("GET", path, timeout_s=_CALL_LIMIT_S)
    except (ApiError, ApiUnreachable):
        return False
    return True


async def _exists(api: Api, kind: Kind, name: str, namespace: str | None = None) -> bool:
    try:
        await api.get(kind, name, namespace, timeout_s=_CALL_LIMIT_S)
    except (ApiError, ApiUnreachable):
        return False
    return True
