"""Giving an identity of a run its rights.

The roles are in manifests/rbac: `harness-loadgen`, `harness-watcher`, one for each reference controller. A foreign
controller, whose needs the harness cannot know, gets `cluster-admin` on an embedded cluster, which is thrown away, and on kind.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.errors import RunFault
from harness.core.ids import RUN_LABEL
from harness.core.kinds import Kind
from harness.kube.api import Api
from harness.kube.discovery import ACCESS_REVIEW, CLUSTER_ROLE, CLUSTER_ROLE_BINDING
from harness.kube.errors import ApiError

LOADGEN = "harness-loadgen"
WATCHER = "harness-watcher"
AGENTS = "harness-agents"
CLUSTER_ADMIN = "cluster-admin"

_ACCOUNT = "system:serviceaccount:"
_EFFECTIVE_LIMIT_S = 10.0
_POLL_S = 0.02


async def bind(api: Api, user: str, role_name: str, run_id: str) -> None:
    """Bind `user` to the ClusterRole in all namespaces; returns when the API server acts on it.

    The binding carries the run's label, by which it is found and removed. Raises ApiError 404 where there is no such
    role, RunFault if the rights do not come.
    """
    role = await api.get(CLUSTER_ROLE, role_name)
    suffix = hashlib.sha256(f"{user} {role_name}".encode()).hexdigest()[:8]
    await api.apply(
        {
            "apiVersion": CLUSTER_ROLE_BINDING.api_version,
            "kind": CLUSTER_ROLE_BINDING.kind,
            "metadata": {"name": f"harness-{run_id}-{suffix}", "labels": {RUN_LABEL: run_id}},
            "roleRef": {"apiGroup": CLUSTER_ROLE.group, "kind": CLUSTER_ROLE.kind, "name": role_name},
            "subjects": [_holder(user)],
        }
    )
    deadline = time.monotonic() + _EFFECTIVE_LIMIT_S
    while not await _allowed(api, user, role):
        if time.monotonic() > deadline:
            raise RunFault(f"{user} still has no rights {_EFFECTIVE_LIMIT_S:g} s after it got {role_name}")
        await asyncio.sleep(_POLL_S)


async def grant(api: Api, user: str, name: str, rights: Mapping[Kind, Sequence[str]], run_id: str) -> None:
    """Give `user` verbs on kinds, and nothing else, by a ClusterRole of the run's own; returns when they hold.

    For a scenario's own kinds, of which the roles of manifests/rbac cannot know. No rights, no role.
    """
    if not rights:
        return
    role = f"harness-{run_id}-{name}"
    await api.create(
        CLUSTER_ROLE,
        {
            "apiVersion": CLUSTER_ROLE.api_version,
            "kind": CLUSTER_ROLE.kind,
            "metadata": {"name": role, "labels": {RUN_LABEL: run_id}},
            "rules": [
                {"apiGroups": [kind.group], "resources": [kind.plural], "verbs": list(verbs)}
                for kind, verbs in rights.items()
            ],
        },
    )
    await bind(api, user, role, run_id)


async def unbind(api: Api, run_id: str) -> None:
    """Remove all bindings of a run, and the roles made for it."""
    await api.delete_collection(CLUSTER_ROLE, label_selector=f"{RUN_LABEL}={run_id}")
    await api.delete_collection(CLUSTER_ROLE_BINDING, label_selector=f"{RUN_LABEL}={run_id}")


def _holder(user: str) -> dict[str, str]:
    """Whom a binding names: a ServiceAccount by its own name, as `kubectl` would write it, anybody else as a user."""
    if user.startswith(_ACCOUNT):
        namespace, _, name = user.removeprefix(_ACCOUNT).partition(":")
        return {"kind": "ServiceAccount", "namespace": namespace, "name": name}
    return {"apiGroup": CLUSTER_ROLE.group, "kind": "User", "name": user}


async def _allowed(api: Api, user: str, role: dict[str, Any]) -> bool:
    """Whether the last rule of the role holds for the user; the authorizer sees a new role or binding a moment late."""
    rules = [rule for rule in role.get("rules") or [] if rule.get("resources")]
    if not rules:
        return True
    rule = rules[-1]
    resource, _, subresource = rule["resources"][-1].partition("/")
    attributes = {
        "verb": rule["verbs"][-1],
        "group": rule["apiGroups"][-1],
        "resource": resource,
        "subresource": subresource,
        "name": (rule.get("resourceNames") or [""])[0],
    }
    review = {
        "apiVersion": ACCESS_REVIEW.api_version,
        "kind": ACCESS_REVIEW.kind,
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    try:
        return bool((await api.create(ACCESS_REVIEW, review))["status"]["allowed"])
    except ApiError as error:
        raise RunFault(f"cannot ask for the rights of {user}: {error.message}") from error
