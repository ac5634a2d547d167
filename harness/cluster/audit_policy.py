"""What the API server's audit log says: enough to count and compare writes, never what is in a Secret."""

from __future__ import annotations

from typing import Any

_BOOTSTRAP = "system:apiserver"
_SYSTEM_USERS = ("system:kube-controller-manager", "system:kube-scheduler")
_SYSTEM_GROUPS = ("system:nodes",)
_WRITES = ("create", "patch", "update", "delete")
_WITHOUT_BODIES = (
    # What is secret, or may be: tokens, keys, and what a connection into a pod carries.
    {
        "group": "",
        "resources": [
            "secrets", "serviceaccounts/token", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy",
            "services/proxy", "nodes/proxy",
        ],
    },
    {"group": "authentication.k8s.io"},
    {"group": "authorization.k8s.io"},
    {"group": "certificates.k8s.io"},
    # What the API server itself writes all the time, unseen: the version before would not be known. CRDs are large, too.
    {"group": "apiextensions.k8s.io"},
    {"group": "apiregistration.k8s.io"},
    {"group": "flowcontrol.apiserver.k8s.io"},
)  # fmt: skip


def policy() -> dict[str, Any]:
    """An audit `Policy`.

    Writes of any kind are logged with their answers (without managed fields), for only the resource version in an answer
    tells a write that changed nothing; those of the control plane too, whose versions lie between two of the subject's.
    Not so `_WITHOUT_BODIES`, and deletions of collections, whose answers are whole lists: there the line says who did
    what, as it does of all else. Left out: what the API server does itself, what the control plane reads, leases, health
    checks and discovery, and the stage at which a request has merely come in. A watch has a line when it begins
    (`ResponseStarted`) and one when it ends.
    """
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {"level": "None", "users": [_BOOTSTRAP]},
            {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
            {"level": "None", "nonResourceURLs": ["*"]},
            {"level": "Metadata", "verbs": list(_WRITES), "resources": list(_WITHOUT_BODIES)},
            {"level": "RequestResponse", "omitManagedFields": True, "verbs": list(_WRITES)},
            {"level": "None", "users": list(_SYSTEM_USERS)},
            {"level": "None", "userGroups": list(_SYSTEM_GROUPS)},
            {"level": "Metadata"},
        ],
    }
