"""Leases between incarnations: a killed leader's must not delay the next for its 15 seconds and more."""

from __future__ import annotations

from typing import Any

from harness.kube.api import Api
from harness.subject.readiness import LEASE

_NODES = "kube-node-lease"
_SYSTEM = "kube-system"
_OURS = ("kube-controller-manager", "kube-scheduler")
_SERVER_LABEL = "apiserver.kubernetes.io/identity"


class Leases:
    """The Leases that came to be while the subject ran; in a cluster of the run's own they are the subject's.

    `namespace`: in anybody else's cluster only those of the run's namespace are.
    """

    def __init__(self, api: Api, namespace: str | None = None) -> None:
        self._api = api
        self._namespace = namespace
        self._before: set[str] = set()

    async def remember(self) -> None:
        """Those that are there now are somebody else's."""
        self._before = {lease["metadata"]["uid"] for lease in (await self._api.list(LEASE, self._namespace)).items}

    async def clear(self) -> list[str]:
        """Delete the subject's; their names as `namespace/name`."""
        cleared = []
        for lease in (await self._api.list(LEASE, self._namespace)).items:
            metadata = lease["metadata"]
            if metadata["uid"] in self._before or _of_control_plane(metadata):
                continue
            await self._api.delete(LEASE, metadata["name"], metadata["namespace"])
            cleared.append(f"{metadata['namespace']}/{metadata['name']}")
        return cleared


def _of_control_plane(metadata: dict[str, Any]) -> bool:
    if metadata["namespace"] == _NODES:
        return True
    return metadata["namespace"] == _SYSTEM and (
        metadata["name"] in _OURS or _SERVER_LABEL in (metadata.get("labels") or {})
    )
