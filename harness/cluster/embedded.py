"""Provider `embedded`: a real kube-apiserver, etcd and kube-controller-manager, started for one run on loopback.

Everything confidential (keys, etcd's data, the audit log) is in one private temporary directory, which a supervisor
removes however the harness ends. Only the servers' logs go to the run record.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from harness.cluster import flags
from harness.cluster.bringup import APISERVER, Bringup, kill_all
from harness.cluster.choice import ETCD_QUOTA
from harness.cluster.pki import Authority
from harness.core.clock import ClockOffset
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import JSON, Progress, SharedFolder
from harness.process import Child
from harness.process.ports import is_free
from harness.toolchain import controlplane

PROVIDER = "embedded"


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """What may be chosen about an embedded cluster.

    `port`: the API server's, None for a free one. `lift_inflight`: no limits on requests in flight and no priority and
    fairness, so that nothing throttles the load; `inflight`: limits of its own (mutating, reading).
    `controllers`: more than those that every run needs.
    """

    port: int | None = None
    lift_inflight: bool = False
    inflight: tuple[int, int] | None = None
    controllers: Sequence[str] = ()
    etcd_quota: int = ETCD_QUOTA
    """The most bytes that etcd may hold."""


@dataclass(slots=True)
class EmbeddedCluster:
    """A running embedded control plane; implements `core.handles.Cluster`. Stop it in a `finally`, or use `async with`."""

    name: str
    server: str
    version: str
    kubeconfig: Path
    audit_log: Path | None
    """JSON lines, each written before the request it is about was answered."""
    options: EmbeddedOptions
    children: dict[str, Child]
    """By program: etcd, kube-apiserver, kube-controller-manager."""
    start_again: Callable[[], Awaitable[Child]]
    authority: Authority
    etcd_socket: Path | None = None
    """Where etcd answers, its /metrics too; None where it is not told."""
    provider: str = PROVIDER
    audit_reason: str | None = None
    throwaway: bool = True
    clock: ClockOffset | None = None
    _restarting: bool = False
    _identities: dict[str, Path] = field(default_factory=dict)

    @property
    def pids(self) -> Mapping[str, int]:
        """Process ids by program."""
        return {name: child.pid for name, child in self.children.items()}

    async def identity(self, user: str) -> Path:
        """A kubeconfig (mode 0600) by which the holder is `user` to the API server; it has no rights until bound."""
        if user not in self._identities:
            self._identities[user] = self.authority.kubeconfig(self.server, self.name, user)
        return self._identities[user]

    def username(self, user: str) -> str:
        """The name in the certificate: `user` itself."""
        return user

    async def load_image(self, image: str) -> bool:  # noqa: ARG002
        """It runs no pods."""
        return False

    async def read_images(self, progress: Progress) -> str | None:  # noqa: ARG002
        """It runs no pods."""
        return None

    async def shared_folder(self) -> SharedFolder | None:
        """It runs no pods."""
        return None

    def describe(self) -> Mapping[str, JSON]:
        """Facts for the run record."""
        return {
            "provider": self.provider,
            "name": self.name,
            "server": self.server,
            "version": self.version,
            "inflight_limits": not self.options.lift_inflight,
            "max_inflight": None if self.options.inflight is None else list(self.options.inflight),
            "controllers": [*flags.CONTROLLERS, *self.options.controllers],
            "etcd_fsync": False,
            "etcd_quota_bytes": self.options.etcd_quota,
            "audit_mode": "blocking",
        }

    async def restart_apiserver(self) -> None:
        """Kill the API server and wait until its successor is ready. Every connection drops, and its watch caches are empty.

        Raises EnvironmentFault where it does not come up.
        """
        self._restarting = True
        try:
            self.children[APISERVER] = await self.start_again()
        finally:
            self._restarting = False

    def failure(self) -> str | None:
        """One sentence if a server has ended by itself; None while all live."""
        for name, child in self.children.items():
            if self._restarting and name == APISERVER:
                continue
            if (ending := child.returned()) is not None:
                return f"{name} ended ({ending})"
        return None

    async def stop(self) -> Sequence[str]:
        """Kill the servers and remove keys, data and audit log; again is harmless. Raises where one withstands."""
        await kill_all(self.children)
        return ()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def start(
    *, name: str, work_dir: Path, run_id: str, progress: Progress, options: EmbeddedOptions | None = None
) -> EmbeddedCluster:
    """Start a control plane and return when it can be used: `/readyz`, namespace `default`, controllers at work.

    Logs go to `work_dir/control-plane/*.log`. Builds the servers first if they have never been built here. Raises
    EnvironmentFault if a port the user named is busy or a server does not come up, with the last lines of its log.
    """
    options = options or EmbeddedOptions()
    if options.port is not None:
        _check_port(options.port)
    binary = await controlplane.ensure(progress)
    progress.step("starting the control plane")
    bringup = Bringup(
        name=name,
        logs=work_dir / "control-plane",
        run_id=run_id,
        binary=binary,
        port=options.port,
        lift_inflight=options.lift_inflight,
        inflight=options.inflight,
        controllers=options.controllers,
        etcd_quota=options.etcd_quota,
    )
    try:
        up = await bringup.run(progress)
    except BaseException:
        await bringup.abort()
        raise
    return EmbeddedCluster(
        name=name,
        server=up.server,
        version=up.version,
        kubeconfig=up.kubeconfig,
        audit_log=up.layout.audit_log,
        options=options,
        children=dict(up.children),
        start_again=up.start_again,
        authority=up.authority,
        etcd_socket=up.layout.etcd_socket,
    )


def _check_port(port: int) -> None:
    if not 0 < port < 65536:
        raise UsageError(f"{port} is not a port", remedy="name one from 1 to 65535")
    if not is_free(port, flags.LOOPBACK):
        raise EnvironmentFault(
            f"port {port} is in use or may not be used",
            place=f"{flags.LOOPBACK}:{port}",
            remedy="name another with --port, or leave it out to get a free one",
        )
