"""The CRDs and the ClusterRole say what the kinds table and the controller say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from harness.controllers.fleet import names
from harness.core.kinds import KINDS
from harness.core.paths import data_dir

CRDS = [yaml.safe_load(path.read_text()) for path in sorted((data_dir("manifests") / "crds").glob("*.yaml"))]


def test_there_is_one_crd_for_each_custom_kind_and_it_agrees() -> None:
    described = {
        (
            crd["spec"]["group"],
            version["name"],
            crd["spec"]["names"]["kind"],
            crd["spec"]["names"]["plural"],
            crd["spec"]["scope"] == "Namespaced",
            "status" in version.get("subresources", {}),
        )
        for crd in CRDS
        for version in crd["spec"]["versions"]
    }
    wanted = {(k.group, k.version, k.kind, k.plural, k.namespaced, k.status) for k in KINDS if "." in k.group}
    assert described == wanted
    assert all(crd["metadata"]["name"] == f"{crd['spec']['names']['plural']}.{crd['spec']['group']}" for crd in CRDS)


def test_the_controller_speaks_of_the_kinds_of_the_crds() -> None:
    known = {(k.group, k.version, k.kind, k.plural, k.namespaced) for k in KINDS}
    for resource in vars(names).values():
        if isinstance(resource, names.Resource):
            assert (
                resource.group, resource.version, resource.kind, resource.plural, resource.namespaced
            ) in known  # fmt: skip


def test_the_role_has_the_name_the_runner_binds_and_no_wildcards() -> None:
    role: dict[str, Any] = yaml.safe_load((data_dir("manifests") / "rbac" / "fleet.yaml").read_text())
    assert (role["kind"], role["metadata"]["name"]) == ("ClusterRole", "harness-fleet")
    words = {word for rule in role["rules"] for part in rule.values() for word in part}
    assert "*" not in words
    writes = {
        resource for rule in role["rules"] if {"create", "patch", "update", "delete"} & set(rule["verbs"])
        for resource in rule["resources"]
    }  # fmt: skip
    assert writes == {
        "gitrepos", "clusters", "bundles", "bundledeployments", "secrets", "configmaps", "leases", "namespaces",
        *(f"{kind}/status" for kind in (
            "gitrepos", "clusters", "clustergroups", "imagescans", "bundles", "bundledeployments"
        )),
    }  # fmt: skip
    # What users make is not taken away.
    deletes = {word for rule in role["rules"] if "delete" in rule["verbs"] for word in rule["resources"]}
    assert deletes == {"clusters", "bundles", "bundledeployments", "configmaps"}


@pytest.mark.parametrize(
    ("file", "name", "writes"),
    [("kserve", "harness-kserve", {"inferenceservices/status"}), ("watcher-subject", "harness-watcher-subject", set())],
)
def test_the_roles_of_kserve_and_watcher_write_no_more_than_a_status(file: str, name: str, writes: set[str]) -> None:
    role: dict[str, Any] = yaml.safe_load((data_dir("manifests") / "rbac" / f"{file}.yaml").read_text())
    assert (role["kind"], role["metadata"]["name"]) == ("ClusterRole", name)
    changing = {"create", "patch", "update", "delete", "*"}
    assert {r for rule in role["rules"] if changing & set(rule["verbs"]) for r in rule["resources"]} == writes


@pytest.mark.parametrize(
    ("name", "verbs", "resources"),
    [
        ("native-go", {"get", "list", "watch"}, {"secrets", "gitrepos"}),
        ("native-rust", {"list", "watch"}, {"secrets"}),
    ],
)
def test_the_native_subjects_may_only_read(name: str, verbs: set[str], resources: set[str]) -> None:
    role: dict[str, Any] = yaml.safe_load((data_dir("manifests") / "rbac" / f"{name}.yaml").read_text())
    assert (role["kind"], role["metadata"]["name"]) == ("ClusterRole", f"harness-{name}")
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == verbs
    assert {resource for rule in role["rules"] for resource in rule["resources"]} == resources
