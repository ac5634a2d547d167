"""The objects that a subject in a pod is made of: its namespace's ServiceAccount, its kubeconfig, the pod itself. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import yaml

from harness.core.ids import RUN_ENV, RUN_LABEL
from harness.subject.process import STOP_GRACE_S

RestartPolicy = Literal["Never", "Always"]

ACCOUNT = "subject"
CONTAINER = "subject"
KUBECONFIG_DIR = "/etc/harness"
KUBECONFIG = f"{KUBECONFIG_DIR}/kubeconfig"
SHARED = "/harness"
"""Where the folder that the harness shares with the pod is in the container."""
INJECTED = "/harness-inject"
NON_ROOT = 65532
"""User and group of the reference controllers; nobody's on common hosts."""
_TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"  # where the kubelet puts them
_SHARED_FOLDERS = {"shared": (SHARED, False), "inject": (INJECTED, True)}


@dataclass(frozen=True, slots=True)
class PodSpec:
    """One incarnation of a subject in a pod.

    `command` replaces the image's entrypoint, `arguments` its arguments; empty leaves them. `hardened`: an image of our own,
    which needs neither root nor a writable root file system. `folders`: directories on the node by use, `shared` (written)
    and `inject` (read-only).
    """

    run_id: str
    namespace: str
    incarnation: int
    image: str
    command: Sequence[str] = ()
    arguments: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    memory_limit: int | None = None
    cpu_limit: float | None = None
    restart_policy: RestartPolicy = "Never"
    hardened: bool = False
    folders: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the pod; each incarnation has its own."""
        return f"subject-{self.incarnation}"

    def incarnated(self, incarnation: int) -> PodSpec:
        """The same for another incarnation."""
        return replace(self, incarnation=incarnation)


def namespace_of(run_id: str) -> str:
    """The namespace of a run's subject: not that of the load, whose quiet is watched."""
    return f"run-{run_id}-subject"


def user_of(run_id: str) -> str:
    """What the API server calls the subject."""
    return f"system:serviceaccount:{namespace_of(run_id)}:{ACCOUNT}"


def labels(run_id: str) -> dict[str, str]:
    """On everything of the subject: by the run's label it is found and removed."""
    return {RUN_LABEL: run_id, "app.kubernetes.io/name": "harness-subject", "app.kubernetes.io/managed-by": "harness"}


def account(run_id: str, server: str) -> list[dict[str, Any]]:
    """ServiceAccount and kubeconfig. `server` is the API server's URL inside the cluster.

    The kubeconfig holds no secret: it names the files that the kubelet keeps fresh in the pod. With it a command that takes
    `--kubeconfig {kubeconfig}` runs unchanged as a process and in a pod.
    """
    namespace = namespace_of(run_id)
    metadata = {"namespace": namespace, "labels": labels(run_id)}
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "in", "cluster": {"server": server, "certificate-authority": f"{_TOKENS}/ca.crt"}}],
        "users": [{"name": ACCOUNT, "user": {"tokenFile": f"{_TOKENS}/token"}}],
        "contexts": [{"name": "in", "context": {"cluster": "in", "user": ACCOUNT, "namespace": namespace}}],
        "current-context": "in",
    }
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT, **metadata}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "kubeconfig", **metadata},
            "data": {"kubeconfig": yaml.safe_dump(kubeconfig, sort_keys=False)},
        },
    ]


def pod(spec: PodSpec) -> dict[str, Any]:
    """The pod."""
    mounts = [{"name": "kubeconfig", "mountPath": KUBECONFIG_DIR, "readOnly": True}]
    volumes: list[dict[str, Any]] = [{"name": "kubeconfig", "configMap": {"name": "kubeconfig"}}]
    for use, path in spec.folders.items():
        inside, read_only = _SHARED_FOLDERS[use]
        mounts.append({"name": use, "mountPath": inside, "readOnly": read_only})
        volumes.append({"name": use, "hostPath": {"path": path, "type": "Directory"}})
    if spec.hardened:
        mounts.append({"name": "tmp", "mountPath": "/tmp", "readOnly": False})  # noqa: S108 # in the container
        volumes.append({"name": "tmp", "emptyDir": {}})
    variables = {**spec.env, "KUBECONFIG": KUBECONFIG, RUN_ENV: spec.run_id}
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": name, "value": _literal(value)} for name, value in variables.items()],
        "volumeMounts": mounts,
        "securityContext": _security(hardened=spec.hardened),
        "resources": _resources(spec.memory_limit, spec.cpu_limit),
    }
    if spec.command:
        container["command"] = [_literal(word) for word in spec.command]
    if spec.arguments:
        container["args"] = [_literal(word) for word in spec.arguments]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": spec.name, "namespace": spec.namespace, "labels": labels(spec.run_id)},
        "spec": {
            "serviceAccountName": ACCOUNT,
            "restartPolicy": spec.restart_policy,
            "terminationGracePeriodSeconds": round(STOP_GRACE_S),
            "enableServiceLinks": False,
            "containers": [container],
            "volumes": volumes,
        },
    }


def _literal(text: str) -> str:
    """Kubernetes replaces `$(NAME)` in commands and variables; `$$` stands for `$`."""
    return text.replace("$(", "$$(")


def _security(*, hardened: bool) -> dict[str, Any]:
    if not hardened:
        return {"allowPrivilegeEscalation": False}
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": NON_ROOT,
        "runAsGroup": NON_ROOT,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _resources(memory_limit: int | None, cpu_limit: float | None) -> dict[str, Any]:
    """Limits; the scheduler is asked for as much, so that the node cannot be short of what the limit allows.

    Of CPU a trifle is requested: the harness, the load and the node share this machine.
    """
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    if memory_limit is not None:
        limits["memory"] = requests["memory"] = str(memory_limit)
    if cpu_limit is not None:
        limits["cpu"] = f"{max(1, round(cpu_limit * 1000))}m"
        requests["cpu"] = f"{max(1, round(min(cpu_limit, 0.1) * 1000))}m"
    return {"limits": limits, "requests": requests} if limits else {}
