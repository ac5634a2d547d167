"""Provider `kind`: a real cluster in containers - kubelet, scheduler, pods - made for one run or reused by name.

What this run makes it deletes, however it ends: on the way out, by a last will where the harness is killed, and by
`harness clean` where both were. A cluster that was there before is never deleted; the run's objects in it are.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster import certificates, cleanup, kind_config, kind_owned, kind_start, kind_tools
from harness.cluster.choice import ETCD_QUOTA, KIND, ClusterChoice, ClusterNeeds
from harness.cluster.kind_owned import PREFIX, Owned
from harness.cluster.kind_tools import Tools
from harness.cluster.last_will import LastWill
from harness.cluster.nodes import Nodes
from harness.cluster.state import NAME
from harness.core.clock import ClockOffset
from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.handles import JSON, Progress, SharedFolder
from harness.core.process_id import ProcessId
from harness.kube.api import Api
from harness.kube.kubeconfig import write_private

_LOAD_LIMIT_S = 300.0


@dataclass(slots=True)
class KindCluster:
    """A kind cluster that is ready; implements `core.handles.Cluster`."""

    name: str
    server: str
    version: str
    kubeconfig: Path
    audit_log: Path | None
    audit_reason: str | None
    run_id: str
    tools: Tools
    nodes: Nodes
    directory: Path
    """Private: kubeconfigs and keys of this run."""
    ca_file: Path
    facts: Mapping[str, JSON]
    last_will: LastWill
    owned: Owned | None = None
    """Set where this run made the cluster and deletes it."""
    provider: str = KIND
    clock: ClockOffset | None = None
    """Nodes are containers of this machine: one clock."""
    _identities: dict[str, Path] = field(default_factory=dict)
    _stopped: bool = False

    @property
    def throwaway(self) -> bool:
        """Whether this run made it."""
        return self.owned is not None

    @property
    def pids(self) -> Mapping[str, int]:
        """The nodes' processes by program as they were when the cluster was ready: the subject's pods are not among them."""
        return self.nodes.pids

    async def identity(self, user: str) -> Path:
        """A kubeconfig (mode 0600) by which the holder is `user` to the API server; it has no rights until bound."""
        if user not in self._identities:
            async with await Api.connect(self.kubeconfig) as api:
                self._identities[user] = await certificates.issue(
                    api, user, run_id=self.run_id, directory=self.directory, ca_file=self.ca_file, cluster=self.name
                )
        return self._identities[user]

    def username(self, user: str) -> str:
        """The name in the certificate: `user` itself."""
        return user

    async def load_image(self, image: str) -> bool:
        """Put an image of this machine's Docker on every node; EnvironmentFault where it is not there."""
        command = [self.tools.kind, "load", "docker-image", image, "--name", self.name]
        try:
            await asyncio.to_thread(kind_tools.output, command, _LOAD_LIMIT_S)
        except EnvironmentFault as error:
            raise EnvironmentFault(
                f"the image cannot be loaded into the cluster: {error.cause}", place=image, remedy="build it first"
            ) from error
        return True

    async def read_images(self, progress: Progress) -> str | None:
        """See `core.handles.Cluster`: done in the nodes' own cgroup, at every run, since what was read may have been dropped."""
        progress.step("having the cluster's nodes read their images")
        nodes = self.nodes.names
        reads = (asyncio.to_thread(kind_tools.read_images, self.tools.docker, node) for node in nodes)
        done = await asyncio.gather(*reads, return_exceptions=True)  # none may go on beside the run
        faults = []
        for node, fault in zip(nodes, done, strict=True):
            if isinstance(fault, EnvironmentFault):
                faults.append(f"{node}: {fault.cause}")
            elif fault is not None:
                raise fault
        if not faults:
            return None
        return (
            f"not all nodes have read the files of their images beforehand ({'; '.join(faults)}): what the subject is the first "
            "to read of them counts in its memory.cgroup and against its limit"
        )

    async def shared_folder(self) -> SharedFolder | None:
        """The directory that clusters of ours mount in every node; None where somebody else made the cluster."""
        sources = {
            await asyncio.to_thread(kind_tools.mounted_at, self.tools.docker, node, kind_config.PODS_IN_NODE)
            for node in self.nodes.names
        }
        source = sources.pop() if len(sources) == 1 else None
        if source is None or not os.access(source, os.W_OK):
            return None
        return SharedFolder(Path(source), kind_config.PODS_IN_NODE)

    def describe(self) -> Mapping[str, JSON]:
        """Facts for the run record."""
        return {
            "provider": self.provider,
            "name": self.name,
            "server": self.server,
            "version": self.version,
            "reused": not self.throwaway,
            "nodes": list(self.nodes.names),
            "audit_mode": None if self.audit_log is None else "blocking",
            "kind": self.tools.kind_version,
            "docker": self.tools.docker_version,
            **self.facts,
        }

    def failure(self) -> str | None:
        """One sentence if a node or the API server ended or was restarted; None while all live."""
        return self.nodes.failure()

    async def stop(self) -> Sequence[str]:
        """Delete the cluster where this run made it, else the run's objects in it."""
        if self._stopped:
            return ()
        self._stopped = True
        if self.owned is None:
            left = await cleanup.after_run(self.kubeconfig, self.run_id)
            shutil.rmtree(self.directory, ignore_errors=True)
            self.last_will.revoke()
            return left
        left = await asyncio.to_thread(_delete, self.owned)
        if not left:
            self.last_will.revoke()
        return left


def check(choice: ClusterChoice) -> None:
    """Raises UsageError for options that cannot be meant, EnvironmentFault where Docker or kind is missing."""
    if choice.kind_name is not None and NAME.fullmatch(choice.kind_name) is None:
        raise UsageError(
            f"--kind-name {choice.kind_name!r} cannot name a cluster",
            remedy="use lower-case letters, digits and dashes, at most 40",
        )
    kind_config.load(choice.kind_config)
    kind_tools.find()


async def start(
    choice: ClusterChoice, needs: ClusterNeeds, *, work_dir: Path, run_id: str, progress: Progress
) -> KindCluster:
    """A kind cluster that pods run in: the one named, where it is there, else a new one, deleted by `stop`.

    Raises EnvironmentFault where Docker or kind is missing, the node image cannot be had, or it does not become ready.
    """
    tools = await asyncio.to_thread(kind_tools.find)
    if choice.kind_name is not None and choice.kind_name in await asyncio.to_thread(kind_tools.clusters, tools):
        if needs.lift_inflight or needs.inflight is not None:
            raise UsageError(
                "this kind cluster is there already: the limits of its API server cannot be chosen",
                place=choice.kind_name,
                remedy="leave out --kind-name, or apiserver.inflight",
            )
        if needs.etcd_quota != ETCD_QUOTA:
            raise UsageError(
                "this kind cluster is there already: the quota of its etcd cannot be chosen",
                place=choice.kind_name,
                remedy="leave out --kind-name, or etcd_quota",
            )
        progress.step(f"using the kind cluster {choice.kind_name}")
        return await _reuse(tools, choice.kind_name, run_id, progress)
    owner = ProcessId.of(os.getpid())
    assert owner is not None
    name = choice.kind_name or f"{PREFIX}{run_id}"
    owned = kind_owned.begin(name, run_id, Path(tempfile.mkdtemp(prefix="harness-kind-")), owner)  # mode 0700
    last_will = LastWill.of_kind(name)
    try:
        with kind_start.undone(owned):
            kubeconfig = await kind_start.create(tools, owned, choice, needs, work_dir=work_dir, progress=progress)
            directory = Path(owned.directory)
            cluster = await _look(tools, name, kubeconfig, run_id, progress, directory, owned, last_will)
    except BaseException:
        if kind_owned.load(name) != owned:
            last_will.revoke()
        raise
    cluster.owned = owned
    limits: dict[str, JSON] = {"inflight_limits": not needs.lift_inflight}
    if needs.inflight is not None:
        limits["max_inflight"] = list(needs.inflight)
    cluster.facts = {**cluster.facts, **limits, "etcd_fsync": False, "etcd_quota_bytes": needs.etcd_quota}
    return cluster


async def _reuse(tools: Tools, name: str, run_id: str, progress: Progress) -> KindCluster:
    """A cluster that was there before, whoever made it. Its audit log is there only where the harness did."""
    directory = Path(tempfile.mkdtemp(prefix="harness-kind-"))
    last_will = LastWill.of_guest(directory, run_id)
    try:
        told = directory / kind_start.KUBECONFIG
        text = await asyncio.to_thread(kind_tools.output, [tools.kind, "get", "kubeconfig", "--name", name])
        write_private(told, text.encode())
        return await _look(tools, name, told, run_id, progress, directory, kind_owned.load(name), last_will)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        last_will.revoke()
        raise


async def _look(
    tools: Tools,
    name: str,
    kubeconfig: Path,
    run_id: str,
    progress: Progress,
    directory: Path,
    ours: Owned | None,
    last_will: LastWill,
) -> KindCluster:
    """Wait until pods run, then see what there is. `ours`: the harness made it, this run or another time."""
    isolated, version = await kind_start.ready(tools, name, kubeconfig, directory, progress)
    nodes = await asyncio.to_thread(Nodes.look, tools.docker, name)
    log, reason = _audit_log(ours)
    image, digest = await asyncio.to_thread(kind_tools.image_of, tools.docker, nodes.names[0])
    return KindCluster(
        name=name,
        server=isolated.server,
        version=version,
        kubeconfig=isolated.kubeconfig,
        audit_log=log,
        audit_reason=reason,
        run_id=run_id,
        tools=tools,
        nodes=nodes,
        directory=directory,
        ca_file=isolated.ca_file,
        facts={"node_image": image, "node_image_id": digest},
        last_will=last_will,
    )


def _audit_log(owned: Owned | None) -> tuple[Path | None, str | None]:
    if owned is None:
        return None, "this kind cluster was not made by the harness, and has no audit log that can be read here"
    log = Path(owned.shared) / kind_config.LOG_FILE
    try:
        if log.stat().st_size:
            return log, None
    except OSError as error:
        return None, f"the audit log cannot be read: {error.strerror}"
    return None, "the audit log is not on this machine: Docker runs elsewhere"


def _delete(owned: Owned) -> Sequence[str]:
    try:
        kind_owned.delete(owned)
    except HarnessError as error:
        return [f"the kind cluster {owned.name} could not be deleted: {error}; `harness clean` tries again"]
    return ()
