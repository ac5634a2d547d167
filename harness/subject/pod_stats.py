"""A pod's memory and CPU as its kubelet tells, through the API server: the witness that every cluster has.

The kubelet itself looks about every ten seconds, so what lies between is unknown; each of its samples carries its own time,
and the same one is never taken twice.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from harness.core.handles import ContainerStats
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from harness.subject.pod_manifest import CONTAINER

_LIMIT_S = 5.0


class KubeletStats:
    """Implements `core.handles.Stats` for one pod."""

    def __init__(self, api: Api, namespace: str, pod: str) -> None:
        self._api = api
        self._namespace = namespace
        self._pod = pod
        self.node = ""
        """Where the pod runs, once that is known."""
        self.failure: str | None = None
        self._newest: datetime | None = None

    async def read(self) -> ContainerStats | None:
        """The kubelet's newest sample; None where there is none that was not read before, and `failure` may say why."""
        if not self.node:
            return None
        path = f"/api/v1/nodes/{self.node}/proxy/stats/summary"
        try:
            summary = await self._api.transport.request_json(
                "GET", path, query={"only_cpu_and_memory": "true"}, timeout_s=_LIMIT_S
            )
        except (ApiError, ApiUnreachable) as error:
            self.failure = str(error)
            return None
        self.failure = None
        try:
            found = parse(summary, self._namespace, self._pod)
        except ValueError as error:
            self.failure = f"{path}: {error}"
            return None
        if found is None or (self._newest is not None and found.at <= self._newest):
            return None
        self._newest = found.at
        return found


def parse(summary: dict[str, Any], namespace: str, name: str) -> ContainerStats | None:
    """The subject's container in a kubelet's summary; None where it has not looked yet. Raises ValueError for another answer."""
    try:
        return _container(summary, namespace, name)
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("the kubelet's answer is no summary") from error


def _container(summary: dict[str, Any], namespace: str, name: str) -> ContainerStats | None:
    for pod in summary.get("pods") or []:
        reference = pod.get("podRef") or {}
        if (reference.get("namespace"), reference.get("name")) != (namespace, name):
            continue
        for container in pod.get("containers") or []:
            memory, cpu = container.get("memory") or {}, container.get("cpu") or {}
            if container.get("name") != CONTAINER or "time" not in memory:
                continue
            nanoseconds = cpu.get("usageCoreNanoSeconds")
            return ContainerStats(
                at=datetime.fromisoformat(memory["time"]),
                working_set_bytes=memory.get("workingSetBytes"),
                usage_bytes=memory.get("usageBytes"),
                rss_bytes=memory.get("rssBytes"),
                cpu_s=None if nanoseconds is None else nanoseconds / 1e9,
            )
    return None
