"""What the kubelet says of a pod, kept while it changes: each ending of its container once.

A pod's status remembers one ending only (`lastState`), so endings are collected as they pass by, by container id. What
passed unseen (two restarts between two looks) shows as a restart count that is higher than the endings known.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from harness.core.handles import JSON
from harness.kube.api import Api
from harness.kube.watch import watch
from harness.kube.workloads import POD

_TERMINAL = ("Failed", "Succeeded")
STUCK = (
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError",
    "CreateContainerError", "RunContainerError",
)  # fmt: skip
"""Reasons of waiting that do not pass by themselves within a run."""


@dataclass(frozen=True, slots=True)
class Termination:
    """One ending of the container, in the kubelet's words. `seen_ns` is `time.monotonic_ns()` of its news."""

    container_id: str
    exit_code: int
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None
    seen_ns: int

    @property
    def oom_killed(self) -> bool:
        """Whether the kubelet says that it was killed for memory.

        The reason alone is not enough: where a child was killed before, containerd keeps the word for whatever ending
        comes later.
        """
        return self.reason == "OOMKilled" and self.exit_code == 137  # 128 + SIGKILL

    def as_json(self) -> Mapping[str, JSON]:
        """For evidence."""
        return {
            "container_id": self.container_id,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "message": self.message,
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
        }


class PodWatch:
    """The newest status of one pod and the endings seen so far. `run` it in a task; `changed` is set at each news."""

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self.changed = asyncio.Event()
        self.terminations: dict[str, Termination] = {}
        """By container id, in the order in which they were seen."""
        self.container_id: str | None = None
        """Of the container that runs now."""
        self.started_at: datetime | None = None
        self.restart_count = 0
        self.waiting: tuple[str, str] | None = None
        """Why no container runs: reason and message."""
        self.phase = "Pending"
        self.reason = ""
        """Of the pod itself, such as `Evicted`."""
        self.message = ""
        self.uid = ""
        self.node = ""
        self.image_id = ""
        self.gone = False
        """The pod does not exist any more."""

    @property
    def unseen(self) -> int:
        """Restarts of which no ending was seen."""
        return max(0, self.restart_count - len(self.terminations) + (1 if self.over else 0))

    @property
    def over(self) -> bool:
        """Whether its last container has ended and none will follow."""
        return self.phase in _TERMINAL or self.gone

    async def run(self) -> None:
        """Follow the pod until it is gone. Raises what the API server refuses."""
        async with aclosing(watch(self._api, POD, self._namespace, metadata_only=False)) as events:
            async for event in events:
                if event.type == "SYNCED" or event.object["metadata"]["name"] != self._name:
                    continue
                if event.object.get("status") is not None:
                    self.take(event.object, event.received_ns)
                if event.type == "DELETED":
                    self.gone, self.container_id = True, None
                self.changed.set()
                if self.gone:
                    return

    async def wait_changed(self, timeout_s: float) -> None:
        """Wait for news, for so long at most."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.changed.wait()
        except TimeoutError:
            return
        self.changed.clear()

    def take(self, pod: Mapping[str, Any], received_ns: int | None = None) -> None:
        """Take in one version of the pod."""
        now_ns = time.monotonic_ns() if received_ns is None else received_ns
        status = pod.get("status") or {}
        self.uid = pod["metadata"].get("uid", "")
        self.node = (pod.get("spec") or {}).get("nodeName", "")
        self.phase = status.get("phase", "Pending")
        self.reason, self.message = status.get("reason", ""), status.get("message", "")
        self.waiting = _unschedulable(status)
        containers = status.get("containerStatuses") or []
        if not containers:
            return
        container = containers[0]
        self.restart_count = max(self.restart_count, int(container.get("restartCount", 0)))
        self.image_id = container.get("imageID", "")
        for state in (container.get("lastState") or {}, container.get("state") or {}):
            self._take_ending(state.get("terminated"), now_ns)
        state = container.get("state") or {}
        self.container_id = None
        if "running" in state:
            self.container_id = _bare(container.get("containerID", ""))
            self.started_at = _moment(state["running"].get("startedAt"))
        if "waiting" in state:
            self.waiting = (state["waiting"].get("reason", ""), state["waiting"].get("message", ""))

    def _take_ending(self, ended: Mapping[str, Any] | None, now_ns: int) -> None:
        identity = _bare((ended or {}).get("containerID", ""))
        if ended is None or not identity or identity in self.terminations:
            return
        self.terminations[identity] = Termination(
            container_id=identity,
            exit_code=int(ended.get("exitCode", 0)),
            reason=ended.get("reason", ""),
            message=(ended.get("message") or "")[:500],
            started_at=_moment(ended.get("startedAt")),
            finished_at=_moment(ended.get("finishedAt")),
            seen_ns=now_ns,
        )


def _bare(identity: str) -> str:
    """`containerd://ID` without its runtime."""
    return identity.rpartition("//")[2]


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _unschedulable(status: Mapping[str, Any]) -> tuple[str, str] | None:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return condition.get("reason", ""), condition.get("message", "")
    return None
