"""Providers `kubeconfig` and `in-cluster`: any cluster that the user names, as a guest.

Its context is named (or it is that of the pod we are in) and does not look like production;
nothing that was there is changed. What the run makes carries its
label and is removed by it. Limits (quotas, priority and fairness) are the cluster's and stay as they are.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster import cleanup, clock_offset, guard, in_cluster
from harness.cluster.accounts import Accounts
from harness.cluster.choice import IN_CLUSTER, ClusterChoice
from harness.cluster.health import Health
from harness.cluster.isolation import Isolated, isolate
from harness.cluster.last_will import LastWill
from harness.core.clock import ClockOffset
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import JSON, Progress, SharedFolder
from harness.core.kinds import Kind, find
from harness.kube.api import Api
from harness.kube.discovery import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CRD
from harness.kube.errors import ApiError, ApiUnreachable

_REVIEW = Kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False)
_NEEDED: tuple[tuple[str, Kind, str], ...] = (
    *((verb, find("Namespace"), "") for verb in ("create", "delete", "list")),
    ("create", find("ServiceAccount"), ""),
    ("create", find("ServiceAccount"), "token"),
    *((verb, kind, "") for kind in (CLUSTER_ROLE, CLUSTER_ROLE_BINDING) for verb in ("create", "delete", "list")),
    *((verb, CRD, "") for verb in ("create", "delete", "list")),
)
"""Without these a run cannot begin, or cannot clean up after itself."""
_PROBE_LIMIT_S = 10.0


@dataclass(slots=True)
class KubeconfigCluster:
    """Somebody's cluster; implements `core.handles.Cluster`."""

    name: str
    """Of the context."""
    server: str
    version: str
    kubeconfig: Path
    run_id: str
    directory: Path
    accounts: Accounts
    health: Health
    last_will: LastWill
    clock: ClockOffset | None
    provider: str
    """`kubeconfig` or `in-cluster`."""
    audit_log: Path | None = None
    audit_reason: str | None = "the audit log of a cluster that is not the run's own cannot be read"
    throwaway: bool = False
    _stopped: bool = False

    @property
    def pids(self) -> Mapping[str, int]:
        """None: the control plane is elsewhere, or not ours to look at."""
        return {}

    async def identity(self, user: str) -> Path:
        """A kubeconfig (mode 0600) of a ServiceAccount of the run; it has no rights until bound."""
        return await self.accounts.identity(user)

    def username(self, user: str) -> str:
        """The name of the ServiceAccount that stands for `user`."""
        return self.accounts.username(user)

    def failure(self) -> str | None:
        """One sentence if the API server has been silent for long; None while it answers."""
        return self.health.failure()

    async def load_image(self, image: str) -> bool:  # noqa: ARG002
        """Its nodes pull images themselves."""
        return False

    async def read_images(self, progress: Progress) -> str | None:  # noqa: ARG002
        """Nodes of others are not entered."""
        return None

    async def shared_folder(self) -> SharedFolder | None:
        """Its nodes are not of this machine."""
        return None

    def describe(self) -> Mapping[str, JSON]:
        """Facts for the run record. The offset is server minus this machine, in seconds."""
        clock = self.clock
        offset = None if clock is None else {"offset_s": clock.offset_s, "uncertainty_s": clock.uncertainty_s}
        return {
            "provider": self.provider,
            "name": self.name,
            "server": self.server,
            "version": self.version,
            "clock": offset,
            "audit_mode": None,
        }

    async def stop(self) -> Sequence[str]:
        """Remove what the run made; the cluster stays."""
        if self._stopped:
            return ()
        self._stopped = True
        await self.health.close()
        await self.accounts.close()
        left = await cleanup.after_run(self.kubeconfig, self.run_id)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.last_will.revoke()
        if not left:
            return ()
        context = "NAME" if self.provider == IN_CLUSTER else self.name  # a pod does not know by which others reach it
        remedy = f"harness clean --context {context} --run {self.run_id}"
        return [f"{sentence}; `{remedy}` tries again" for sentence in left]


def check(choice: ClusterChoice) -> None:
    """Raises UsageError where the context is not named, not there or looks like production, EnvironmentFault where the
    cluster does not answer or refuses what a run needs. For a command that has no event loop yet."""
    _check_named(choice)
    directory = Path(tempfile.mkdtemp(prefix="harness-context-"))
    try:
        asyncio.run(_probe(_isolated(choice, directory), choice))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def start(choice: ClusterChoice, *, run_id: str, progress: Progress) -> KubeconfigCluster:
    """The cluster behind the context, reachable and asked for its time; nothing is made in it yet."""
    _check_named(choice)
    progress.step(f"using {_words(choice)}")
    directory = Path(tempfile.mkdtemp(prefix="harness-context-"))  # mode 0700
    last_will = LastWill.of_guest(directory, run_id)
    try:
        isolated = _isolated(choice, directory)
        version = await _probe(isolated, choice)
        progress.detail("comparing clocks")
        async with await Api.connect(isolated.kubeconfig) as api:
            clock = await clock_offset.measure(api.transport)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        last_will.revoke()
        raise
    name = choice.context or choice.provider
    accounts = Accounts(
        kubeconfig=isolated.kubeconfig, server=isolated.server, ca_file=isolated.ca_file, directory=directory,
        run_id=run_id, cluster=name,
    )  # fmt: skip
    return KubeconfigCluster(
        name=name,
        server=isolated.server,
        version=version,
        kubeconfig=isolated.kubeconfig,
        run_id=run_id,
        directory=directory,
        accounts=accounts,
        health=Health(isolated.kubeconfig),
        last_will=last_will,
        clock=clock,
        provider=choice.provider,
    )


def _check_named(choice: ClusterChoice) -> None:
    """Whether the user has named the cluster, and it is none to keep away from."""
    if choice.provider == IN_CLUSTER:
        in_cluster.check(allowed=choice.certain)
        return
    if not choice.context:
        raise UsageError("--cluster kubeconfig needs a context, by name", remedy="add --context NAME")
    guard.check(_source(choice), choice.context, allowed=choice.certain)


def _isolated(choice: ClusterChoice, directory: Path) -> Isolated:
    if choice.provider == IN_CLUSTER:
        return in_cluster.isolate(directory)
    return isolate(_source(choice), choice.context, directory)


def _source(choice: ClusterChoice) -> Path:
    return choice.kubeconfig or guard.default_kubeconfig()


def _words(choice: ClusterChoice) -> str:
    return (
        "the cluster of this pod" if choice.provider == IN_CLUSTER else f"the cluster of the context {choice.context!r}"
    )


def _try(choice: ClusterChoice) -> str:
    """What a person looks with."""
    return (
        "is the API server allowed by the pod's network policies?"
        if choice.provider == IN_CLUSTER
        else (f"try kubectl --context {choice.context} version")
    )


async def _probe(isolated: Isolated, choice: ClusterChoice) -> str:
    """The server's version; EnvironmentFault where it does not answer, or lacks rights for us."""
    try:
        async with await Api.connect(isolated.kubeconfig) as api:
            document = await api.transport.request_json("GET", "/version", timeout_s=_PROBE_LIMIT_S)
            missing = [words for verb, kind, sub in _NEEDED if (words := await _lacks(api, verb, kind, sub))]
    except ApiUnreachable as error:
        raise EnvironmentFault(
            f"{_words(choice)} does not answer: {error.cause}",
            remedy=_try(choice),
        ) from error
    except ApiError as error:
        raise EnvironmentFault(
            f"{_words(choice)} refuses this identity: {error.status} {error.reason}: {error.message}",
            remedy="look at the ServiceAccount and its token"
            if choice.provider == IN_CLUSTER
            else f"log in again, and {_try(choice)}",
        ) from error
    if missing:
        raise EnvironmentFault(
            f"the identity of {_whose(choice)} may not {', '.join(missing)}",
            remedy="use one that may: a run makes a namespace, ServiceAccounts, roles and missing CRDs, and removes them",
        )
    return str(document["gitVersion"])


def _whose(choice: ClusterChoice) -> str:
    return "this pod" if choice.provider == IN_CLUSTER else f"the context {choice.context!r}"


async def _lacks(api: Api, verb: str, kind: Kind, subresource: str) -> str | None:
    """The right in words, where it is missing."""
    attributes = {"verb": verb, "group": kind.group, "resource": kind.plural, "subresource": subresource}
    body = {"apiVersion": _REVIEW.api_version, "kind": _REVIEW.kind, "spec": {"resourceAttributes": attributes}}
    answer = await api.create(_REVIEW, body, timeout_s=_PROBE_LIMIT_S)
    if (answer.get("status") or {}).get("allowed"):
        return None
    return f"{verb} {kind.plural}{f'/{subresource}' if subresource else ''}"
