"""What `kind create cluster` is told: the file's topology, and what the harness needs in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster import kind_config
from harness.core.errors import UsageError

SHARED = Path("/private/dir/node")


def completed(name: str | None, inflight: tuple[int, int] | None = None) -> dict[str, Any]:
    text = kind_config.complete(kind_config.load(name), SHARED, inflight=inflight)
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def kubeadm(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    patches = [yaml.safe_load(patch) for patch in document["kubeadmConfigPatches"]]
    return {patch["apiVersion"].partition("/")[2]: patch for patch in patches}


def test_shipped_files_are_what_they_are_called() -> None:
    assert kind_config.shipped() == ["control-plane-and-workers", "one-node"]
    assert [node["role"] for node in completed(None)["nodes"]] == ["control-plane"]
    assert [node["role"] for node in completed("control-plane-and-workers")["nodes"]] == ["control-plane", "worker"]


def test_the_control_plane_shares_the_audit_directory_and_is_on_loopback() -> None:
    document = completed("control-plane-and-workers")
    plane, worker = document["nodes"]
    pods = {"hostPath": f"{SHARED}/pods", "containerPath": "/harness-pods"}
    assert plane["extraMounts"] == [pods, {"hostPath": str(SHARED), "containerPath": "/harness"}]
    assert worker["extraMounts"] == [pods], "no worker sees the audit log"
    assert document["networking"] == {"apiServerAddress": "127.0.0.1"}


def test_kubeadm_gets_its_arguments_in_either_of_its_forms() -> None:
    patches = kubeadm(completed(None))
    old = patches["v1beta3"]["apiServer"]["extraArgs"]
    new = {item["name"]: item["value"] for item in patches["v1beta4"]["apiServer"]["extraArgs"]}
    assert old == new
    assert old["audit-log-path"] == "/harness/audit.log"
    assert old["audit-log-mode"] == "blocking"
    assert "max-requests-inflight" not in old
    etcd = {item["name"]: item["value"] for item in patches["v1beta4"]["etcd"]["local"]["extraArgs"]}
    assert etcd == {"unsafe-no-fsync": "true", "quota-backend-bytes": "8589934592"}
    limited = kubeadm(completed(None, (5, 7)))["v1beta3"]["apiServer"]["extraArgs"]
    assert limited["enable-priority-and-fairness"] == "false"
    assert limited["max-mutating-requests-inflight"] == "5"
    assert limited["max-requests-inflight"] == "7"


def test_what_a_file_of_the_users_says_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking: {podSubnet: 10.1.0.0/16}\n"
        "nodes: [{extraMounts: [{hostPath: /a, containerPath: /b}]}, {role: worker}, {role: worker}]\n"
        "kubeadmConfigPatches: ['kind: KubeletConfiguration']\n"
    )
    document = completed(str(path))
    assert document["networking"] == {"apiServerAddress": "127.0.0.1", "podSubnet": "10.1.0.0/16"}
    assert [mount["containerPath"] for mount in document["nodes"][0]["extraMounts"]] == [
        "/b",
        "/harness-pods",
        "/harness",
    ]
    assert len(document["nodes"]) == 3
    assert document["kubeadmConfigPatches"][-1] == "kind: KubeletConfiguration"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Pod", "this is not a kind configuration"),
        ("- 1", "this is not a kind configuration"),
        ("a: [", "cannot be read"),
        ("{kind: Cluster, nodes: 3}", "nodes must be a list"),
        ("{kind: Cluster, nodes: [{role: worker}]}", "it has 0 control planes"),
        ("{kind: Cluster, nodes: [{}, {role: control-plane}]}", "it has 2 control planes"),
        (None, "there is no kind configuration"),
    ],
)
def test_what_is_no_configuration_is_said(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        kind_config.load(str(path))
    assert "\n" not in str(caught.value)
