"""What the audit log may hold, and what the roles allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.cluster.audit_policy import policy
from harness.core.kinds import KINDS
from harness.core.paths import data_dir


def level(verb: str, group: str, resource: str, user: str = "harness:subject:x") -> str:
    """The level by the first rule that matches, as the API server decides."""
    for rule in policy()["rules"]:
        if "users" in rule and user not in rule["users"]:
            continue
        if "userGroups" in rule and not set(rule["userGroups"]) & (
            {"system:nodes"} if user.startswith("system:node:") else set()
        ):
            continue
        if "nonResourceURLs" in rule or ("verbs" in rule and verb not in rule["verbs"]):
            continue
        if "resources" in rule and not any(
            entry["group"] == group and ("resources" not in entry or resource in entry["resources"])
            for entry in rule["resources"]
        ):
            continue
        return str(rule["level"])
    raise AssertionError("no rule matches")


def test_bodies_are_logged_for_writes_of_any_kind_and_never_for_secrets() -> None:
    for kind in KINDS:
        for verb in ("create", "patch", "update", "delete"):
            wanted = "Metadata" if kind.kind == "Secret" else "RequestResponse"
            assert level(verb, kind.group, kind.plural) == wanted, (verb, kind)
        for verb in ("get", "list", "watch", "deletecollection"):
            assert level(verb, kind.group, kind.plural) == "Metadata"
    for group, resource in (
        ("fleet.cattle.io", "bundles/status"), ("example.com", "things"), ("apps", "deployments/scale"), ("", "pods/status"),
    ):  # fmt: skip
        assert level("patch", group, resource) == "RequestResponse"
        assert level("list", group, resource) == "Metadata"
    assert level("create", "", "serviceaccounts/token") == "Metadata", "its answer holds a token"
    assert level("create", "", "pods/exec") == "Metadata"
    assert level("create", "authentication.k8s.io", "tokenreviews") == "Metadata"
    assert level("update", "apiextensions.k8s.io", "customresourcedefinitions/status") == "Metadata"


def test_of_the_control_plane_writes_only() -> None:
    """A version that it gave an object lies between two of the subject's: unseen, the second would pass as a change."""
    for user in ("system:kube-controller-manager", "system:kube-scheduler", "system:node:worker"):
        assert level("update", "apps", "deployments/status", user=user) == "RequestResponse"
        assert level("list", "apps", "deployments", user=user) == "None"
        assert level("update", "", "secrets", user=user) == "Metadata"
        assert level("update", "coordination.k8s.io", "leases", user=user) == "None"
    assert level("update", "", "configmaps", user="system:apiserver") == "None"


def rules(name: str) -> list[dict[str, Any]]:
    document = yaml.safe_load(Path(data_dir("manifests") / "rbac" / name).read_text())
    loaded: list[dict[str, Any]] = document["rules"]
    return loaded


def test_the_watcher_reads_every_kind_and_writes_none() -> None:
    allowed = {
        (group, resource)
        for rule in rules("watcher.yaml")
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
    }
    assert {path for rule in rules("watcher.yaml") for path in rule.get("nonResourceURLs", ())} == {"/metrics"}
    assert allowed == {(kind.group, kind.plural) for kind in KINDS}
    assert {verb for rule in rules("watcher.yaml") for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_the_load_generator_reads_and_writes_objects_of_loads_and_no_others() -> None:
    verbs = {verb for rule in rules("loadgen.yaml") for verb in rule["verbs"]}
    assert verbs == {"create", "patch", "get", "list", "watch", "delete"}
    known = {(kind.group, kind.plural) for kind in KINDS} | {("fleet.cattle.io", "clusters/status")}
    granted = {
        (group, resource)
        for rule in rules("loadgen.yaml")
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert granted <= known
    assert ("", "namespaces") not in granted
