"""What the API server's audit log says: enough to count and compare writes, never what is in a Secret."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness.core.kinds import KINDS

_SYSTEM_USERS = ("system:apiserver", "system:kube-controller-manager", "system:kube-scheduler")
_SYSTEM_GROUPS = ("system:nodes",)
_WRITES = ("create", "patch", "update", "delete")


def policy(groups: Iterable[str] = ()) -> dict[str, Any]:
    """An audit `Policy`; `groups` are API groups of a scenario's own kinds, beyond those of `core.kinds`.

    Writes of the scenario's kinds are logged with their answers (without managed fields), for only the resource version
    in an answer tells a write that changed nothing; deletions of collections are not, their answers are whole lists.
    Of all else, Secrets always, the line says who did what, without bodies. Left out: what the control plane does
    itself, leases, health checks and discovery, and the stage at which a request has merely come in. A watch has a line
    when it begins (`ResponseStarted`) and one when it ends.
    """
    core = sorted(kind.plural for kind in KINDS if not kind.group and kind.kind != "Secret")
    own = sorted({kind.group for kind in KINDS if kind.group} | {group for group in groups if group})
    resources = [{"group": "", "resources": [name for plural in core for name in (plural, f"{plural}/status")]}]
    resources += [{"group": group} for group in own]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": list(_SYSTEM_USERS)},
            {"level": "None", "userGroups": list(_SYSTEM_GROUPS)},
            {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "None", "nonResourceURLs": ["*"]},
            {"level": "RequestResponse", "omitManagedFields": True, "verbs": list(_WRITES), "resources": resources},
            {"level": "Metadata"},
        ],
    }
