"""What the audit log may hold, and what the roles allow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from harness.cluster.audit_policy import policy
from harness.core.kinds import KINDS
from harness.core.paths import data_dir


def level(verb: str, group: str, resource: str, user: str = "harness:subject:x", groups: tuple[str, ...] = ()) -> str:
    """The level by the first rule that matches, as the API server decides."""
    for rule in policy(groups)["rules"]:
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


def test_bodies_are_logged_for_writes_of_the_scenarios_kinds_and_never_for_secrets() -> None:
    for kind in KINDS:
        for verb in ("create", "patch", "update", "delete"):
            wanted = "Metadata" if kind.kind == "Secret" else "RequestResponse"
            assert level(verb, kind.group, kind.plural) == wanted, (verb, kind)
        for verb in ("get", "list", "watch", "deletecollection"):
            assert level(verb, kind.group, kind.plural) == "Metadata"
    assert level("patch", "fleet.cattle.io", "bundles/status") == "RequestResponse"
    assert level("create", "", "serviceaccounts/token") == "Metadata", "its answer holds a token"
    assert level("create", "authentication.k8s.io", "tokenreviews") == "Metadata"


def test_own_groups_can_be_added_and_the_control_planes_own_work_is_left_out() -> None:
    assert level("create", "example.com", "things") == "Metadata"
    assert level("create", "example.com", "things", groups=("example.com",)) == "RequestResponse"
    assert level("update", "coordination.k8s.io", "leases") == "None"
    assert level("update", "", "configmaps", user="system:apiserver") == "None"
    assert level("patch", "", "configmaps", user="system:node:worker") == "None"
    assert level("create", "", "configmaps", user="system:kube-scheduler") == "None"


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
