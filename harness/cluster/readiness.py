"""When a cluster with nodes can be used: not when its API server answers, but when pods run and are served."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress
from harness.core.kinds import Kind, find
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable

NODE = Kind("", "v1", "Node", "nodes", namespaced=False)
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", namespaced=True)
DAEMON_SET = Kind("apps", "v1", "DaemonSet", "daemonsets", namespaced=True)

LIMIT_S = 180.0
_POLL_S = 0.5
_CALL_LIMIT_S = 10.0
_SYSTEM = "kube-system"
_DNS = "k8s-app=kube-dns"


async def wait(api: Api, *, nodes: int, place: str, progress: Progress, limit_s: float = LIMIT_S) -> None:
    """Return when `nodes` nodes are Ready, every DaemonSet of kube-system (network, kube-proxy) and CoreDNS are, and the
    ServiceAccount `default` is there; EnvironmentFault says what was not.

    CoreDNS runs in ordinary pods: once it serves, pods are scheduled, started and reach the API server.
    """
    deadline = time.monotonic() + limit_s
    while missing := await _missing(api, nodes):
        if time.monotonic() > deadline:
            raise EnvironmentFault(f"it was not ready after {limit_s:g} s: {'; '.join(missing)}", place=place)
        progress.detail(missing[0])
        await asyncio.sleep(_POLL_S)


async def _missing(api: Api, nodes: int) -> list[str]:
    """What is still to come, in words."""
    try:
        found = (await api.list(NODE, timeout_s=_CALL_LIMIT_S)).items
        missing = list(_nodes(list(found), nodes))
        if missing:
            return missing
        for daemons in (await api.list(DAEMON_SET, _SYSTEM, timeout_s=_CALL_LIMIT_S)).items:
            missing += _daemons(daemons)
        dns = (await api.list(DEPLOYMENT, _SYSTEM, label_selector=_DNS, timeout_s=_CALL_LIMIT_S)).items
        missing += [] if dns else ["there is no CoreDNS"]
        for deployment in dns:
            missing += _deployment(deployment)
        if not missing:
            await api.get(find("ServiceAccount"), "default", "default", timeout_s=_CALL_LIMIT_S)
    except (ApiError, ApiUnreachable) as error:
        return [str(error)]
    return missing


def _nodes(found: list[dict[str, Any]], wanted: int) -> Iterator[str]:
    if len(found) < wanted:
        yield f"{len(found)} of {wanted} nodes have joined"
    for node in found:
        conditions = (node.get("status") or {}).get("conditions") or []
        ready: dict[str, Any] = next((one for one in conditions if one.get("type") == "Ready"), {})
        if ready.get("status") != "True":
            yield f"node {node['metadata']['name']} is not ready ({ready.get('message') or 'no word of it yet'})"


def _daemons(daemons: dict[str, Any]) -> Iterator[str]:
    status = daemons.get("status") or {}
    wanted, ready = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
    if not wanted or ready < wanted:
        yield f"{daemons['metadata']['name']}: {ready} of {wanted or 'some'} pods are ready"


def _deployment(deployment: dict[str, Any]) -> Iterator[str]:
    wanted = (deployment.get("spec") or {}).get("replicas", 1)
    ready = (deployment.get("status") or {}).get("readyReplicas", 0)
    if ready < wanted:
        yield f"{deployment['metadata']['name']}: {ready} of {wanted} pods are ready"
