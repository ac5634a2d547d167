"""What a run needs in any cluster before its load begins, and the rights of its identities there.

In a cluster of the run's own: CRDs and roles as they are. In any other the run is a guest: what is there stays as it is,
only missing CRDs are added, and everything it makes, roles too, is its own: by name, and by the label that removes it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.core.errors import EnvironmentFault
from harness.core.handles import Cluster
from harness.core.ids import RUN_LABEL, namespace_of
from harness.core.kinds import KINDS, Kind, find
from harness.core.paths import data_dir
from harness.core.process_id import ProcessId
from harness.kube import rbac
from harness.kube.api import Api
from harness.kube.discovery import CLUSTER_ROLE
from harness.kube.errors import ApiError
from harness.kube.manifests import add_missing, apply_files, load_manifests

OWNER = "harness.dev/owner"
"""Annotation of a guest's namespace: the process that removes it, by which `harness clean` knows a living run."""
_OURS = "harness-"
_REDUCED = (rbac.LOADGEN, rbac.WATCHER)
"""Roles that know every kind; a guest's know those of its scenario."""


async def prepare(api: Api, run_id: str) -> str:
    """Apply our CRDs and roles, wait until the CRDs are served, make the run's namespace; returns its name.

    The namespace carries the run's label. `api` must be an administrator's, the cluster the run's own.
    """
    manifests = data_dir("manifests")
    await apply_files(api, [manifests / "crds", manifests / "rbac"])
    namespace = namespace_of(run_id)
    await api.ensure_namespace(namespace, {RUN_LABEL: run_id})
    return namespace


async def prepare_as_guest(
    api: Api, run_id: str, kinds: Collection[Kind], *, roles: Collection[str] | None = None, certain: bool = False
) -> str:
    """The same in somebody else's cluster; `kinds` are those of the scenario, `roles` those of ours that will be given
    (None: all): whoever makes a role must hold its rights.

    Raises EnvironmentFault where it holds objects that are not the run's but that the subject would act upon, unless
    `certain`.
    """
    if not certain:
        await _refuse_company(api, run_id, kinds)
    labels = {RUN_LABEL: run_id}
    owner = ProcessId.of(os.getpid())
    metadata = {
        "name": namespace_of(run_id),
        "labels": labels,
        "annotations": {OWNER: json.dumps(None if owner is None else owner_facts(owner))},
    }
    # First of all: it shows other runs that this one is there.
    await api.create(find("Namespace"), {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    manifests = data_dir("manifests")
    await add_missing(api, [manifests / "crds"], labels)
    for role in load_manifests([manifests / "rbac"]):
        name = role["metadata"]["name"]
        if roles is not None and name not in roles:
            continue
        own = {**role, "metadata": {"name": f"{name}-{run_id}", "labels": labels}}
        if name in _REDUCED:
            own["rules"] = [rule for rule in (_reduced(rule, kinds) for rule in role["rules"]) if rule]
        await api.create(CLUSTER_ROLE, own)
    return namespace_of(run_id)


def owner_facts(owner: ProcessId) -> dict[str, Any]:
    """A process as the annotation has it: its pid means it only among processes that see the same pids (`pid_namespace`)."""
    return {**asdict(owner), "pid_namespace": pid_namespace()}


def pid_namespace() -> str:
    """In which this process sees other processes; a pod's is its own, also where it shares the machine."""
    return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 # the link leads nowhere


async def add_setup(api: Api, paths: Collection[Path], run_id: str) -> list[str]:
    """A guest's `setup.apply`: what is missing, with the run's label; returns names of what was there and was left as it is."""
    return await add_missing(api, list(paths), {RUN_LABEL: run_id}, namespace_of(run_id))


async def give(api: Api, cluster: Cluster, user: str, role: str, run_id: str, *, account: bool = False) -> None:
    """Give an identity of the cluster a role of ours (or any other ClusterRole); returns when it holds.

    `account`: `user` is a ServiceAccount's name as the API server knows it.
    """
    own = not cluster.throwaway and role.startswith(_OURS)
    await rbac.bind(api, user if account else cluster.username(user), f"{role}-{run_id}" if own else role, run_id)


def _reduced(rule: Mapping[str, Any], kinds: Collection[Kind]) -> dict[str, Any] | None:
    """A rule without the resources that the scenario does not need; None where nothing is left of it."""
    if "resources" not in rule:
        return dict(rule)
    needed = {(kind.group, kind.plural) for kind in kinds}
    resources = [
        resource
        for resource in rule["resources"]
        if any((group, resource.partition("/")[0]) in needed for group in rule["apiGroups"])
    ]
    return {**rule, "resources": resources} if resources else None


async def _refuse_company(api: Api, run_id: str, kinds: Collection[Kind]) -> None:
    """A controller under test takes all objects of its kinds for its own, whoever made them."""
    groups = {kind.group for kind in kinds if kind.group}
    concerned = dict.fromkeys([*(kind for kind in KINDS if kind.group in groups), *(k for k in kinds if k.group)])
    for kind in concerned:
        try:
            pages = api.pages(kind, label_selector=f"{RUN_LABEL}!={run_id}", metadata_only=True, page_size=1)
            first = (await anext(pages)).items
        except ApiError as error:
            if error.status != 404:
                raise
            continue  # not served: its CRD is still to come
        if first:
            namespace = first[0]["metadata"].get("namespace")
            name = f"{namespace}/{first[0]['metadata']['name']}" if namespace else first[0]["metadata"]["name"]
            raise EnvironmentFault(
                f"the cluster holds a {kind.full_name} that is not this run's ({name}): the subject would act on it",
                remedy="use a cluster without, or add --i-know-what-i-am-doing",
            )
