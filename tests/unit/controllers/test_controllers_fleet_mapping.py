"""Which Clusters a Bundle selects, and which objects a change queues."""

from __future__ import annotations

from typing import Any

import pytest

from harness.controllers.fleet import names
from harness.controllers.fleet.bundle import _retargets, _state_differs, concerned, make_deployment
from harness.controllers.fleet.context import wants_reconcile
from harness.controllers.fleet.deployment import applied
from harness.controllers.fleet.gitrepo import make_bundle
from harness.controllers.fleet.management import label_patch, wanted_labels
from harness.controllers.fleet.options import EventMapping
from harness.controllers.fleet.selectors import bundle_matches, selector_matches, target_matches
from harness.controllers.fleet.summary import is_ready, of_deployments, of_summaries
from harness.controllers.runtime.informer import Event


def obj(name: str, labels: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "labels": labels or {}, "generation": 1}
    return {"metadata": {**metadata, **fields.pop("metadata", {})}, "spec": {}, **fields}


def bundle(name: str, *selectors: dict[str, Any]) -> dict[str, Any]:
    return obj(name, spec={"targets": [{"clusterSelector": selector} for selector in selectors]})


PROD = {"matchLabels": {"env": "prod"}}


@pytest.mark.parametrize(
    ("selector", "labels", "matches"),
    [
        ({}, {}, True),
        ({"matchLabels": None, "matchExpressions": None}, {"a": "b"}, True),
        (PROD, {"env": "prod", "a": "b"}, True),
        (PROD, {"env": "dev"}, False),
        (PROD, {}, False),
        ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "dev"]}]}, {"env": "dev"}, True),
        ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod"]}]}, {}, False),
        ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}, {}, True),
        ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod"]}]}, {"env": "prod"}, False),
        ({"matchExpressions": [{"key": "env", "operator": "Exists"}]}, {"env": ""}, True),
        ({"matchExpressions": [{"key": "env", "operator": "Exists"}]}, {}, False),
        ({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}, {}, True),
        ({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}, {"env": "x"}, False),
        ({"matchExpressions": [{"key": "env", "operator": "Like", "values": ["x"]}]}, {"env": "x"}, False),
        ({**PROD, "matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"env": "prod"}, False),
    ],
)
def test_label_selectors(selector: dict[str, Any], labels: dict[str, str], matches: bool) -> None:
    assert selector_matches(selector, labels) is matches


@pytest.mark.parametrize(
    ("target", "matches"),
    [
        ({}, False),
        ({"name": "no criteria"}, False),
        ({"clusterName": "c1"}, True),
        ({"clusterName": "c2"}, False),
        ({"clusterName": "shown"}, True),
        ({"clusterSelector": {}}, True),
        ({"clusterSelector": None}, False),
        ({"clusterName": "c1", "clusterSelector": {"matchLabels": {"env": "dev"}}}, False),
        ({"clusterGroup": "g", "clusterSelector": {}}, False),
        ({"clusterGroupSelector": {}, "clusterName": "c1"}, False),
    ],
)
def test_all_criteria_of_a_target_must_hold(target: dict[str, Any], matches: bool) -> None:
    assert target_matches(target, "c1", {"env": "prod", names.DISPLAY_NAME_LABEL: "shown"}) is matches


def test_a_bundle_matches_by_any_of_its_targets() -> None:
    assert bundle_matches(bundle("b", {"matchLabels": {"x": "y"}}, PROD), "c", {"env": "prod"})
    assert not bundle_matches(bundle("b"), "c", {"env": "prod"})


@pytest.mark.parametrize(
    ("old", "new", "queued"),
    [
        ({}, {"env": "prod"}, ["prod", "any"]),
        ({"env": "prod"}, {"env": "dev"}, ["prod", "dev", "any"]),
        ({"env": "prod"}, None, ["prod", "any"]),
        (None, {"env": "dev"}, ["dev", "any"]),
        ({}, {"other": "x"}, ["any"]),
    ],
)
def test_event_mapping(old: dict[str, str] | None, new: dict[str, str] | None, queued: list[str]) -> None:
    bundles = [bundle("prod", PROD), bundle("dev", {"matchLabels": {"env": "dev"}}), bundle("any", {})]
    before, after = (None if labels is None else obj("c", labels) for labels in (old, new))
    event = Event(before, after)
    matching = [item["metadata"]["name"] for item in concerned(event, bundles, EventMapping.MATCHING)]
    assert sorted(matching) == sorted(queued)
    assert list(concerned(event, bundles, EventMapping.ALL)) == bundles


def test_status_alone_wants_no_reconcile() -> None:
    old = obj("a", {"x": "1"}, status={"ready": False})
    assert not wants_reconcile(Event(old, {**old, "status": {"ready": True}}))
    assert wants_reconcile(Event(None, old))
    assert wants_reconcile(Event(old, None))
    assert wants_reconcile(Event(old, obj("a", {"x": "2"})))
    assert wants_reconcile(Event(old, obj("a", {"x": "1"}, metadata={"generation": 2})))
    assert wants_reconcile(Event(old, obj("a", {"x": "1"}, metadata={"deletionTimestamp": "now"})))


def test_a_cluster_that_gets_its_namespace_is_a_new_target() -> None:
    old = obj("c", status={})
    assert _retargets(Event(old, obj("c", status={"namespace": "cluster-c"})))
    assert not _retargets(Event(old, obj("c", status={"summary": {"ready": 1}})))


def test_a_new_deployment_concerns_its_bundle_only_when_found_at_the_start() -> None:
    waiting = obj("d", spec={"deploymentID": "1"})
    ready = {**waiting, "status": applied(waiting)}
    assert not _state_differs(Event(None, waiting))
    assert _state_differs(Event(None, waiting, initial=True))
    assert _state_differs(Event(waiting, ready))
    assert _state_differs(Event(ready, None))
    assert not _state_differs(Event(ready, {**ready, "status": {**ready["status"], "release": "other"}}))


def test_readiness_is_of_the_wanted_deployment() -> None:
    waiting = obj("d", spec={"deploymentID": "1"})
    ready = {**waiting, "status": applied(waiting)}
    stale = {**ready, "spec": {"deploymentID": "2"}}
    assert [is_ready(item) for item in (waiting, ready, stale)] == [False, True, False]
    total = of_deployments([waiting, ready, stale])
    assert total == {"desiredReady": 3, "ready": 1, "waitApplied": 2}
    assert of_summaries([total, None, {"desiredReady": 2, "ready": 2}]) == {
        "desiredReady": 5,
        "ready": 3,
        "waitApplied": 2,
    }


def test_labels_are_copied_once_and_leave_with_their_origin() -> None:
    origin = obj("c", {"env": "prod"}, spec={"displayName": "shown"})
    fleet = obj("c", {**wanted_labels(origin), "own": "stays"}, metadata={"annotations": {names.COPIED_LABELS: "env"}})
    assert label_patch(origin, fleet) == {}
    flipped = obj("c", {"env": "dev", "new": "1"}, spec={"displayName": "shown"})
    assert label_patch(flipped, fleet) == {
        "labels": {"env": "dev", "new": "1"},
        "annotations": {names.COPIED_LABELS: "env,new"},
    }
    bare = obj("c", {}, spec={"displayName": "shown"})
    assert label_patch(bare, fleet) == {"labels": {"env": None}, "annotations": {names.COPIED_LABELS: ""}}
    unfit = obj("c", {}, spec={"displayName": "not a label value!"})
    assert names.DISPLAY_NAME_LABEL not in wanted_labels(unfit)


def test_bundles_and_deployments_carry_what_they_are_found_by() -> None:
    repo = obj("repo-1", {"harness.dev/run": "r"}, spec={"repo": "u", "paths": ["b0"], "targets": [PROD]})
    made = make_bundle(repo, "b0")
    assert made["metadata"]["name"] == "repo-1-b0"
    assert made["metadata"]["labels"].items() >= {"harness.dev/run": "r", names.REPO_LABEL: "repo-1"}.items()
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-repo-1"
    assert made["spec"]["targets"] == [PROD]
    assert made == make_bundle(repo, "b0")
    cluster = obj("c", status={"namespace": "cluster-c"})
    deployment = make_deployment(made, cluster, "sum")
    assert (deployment["metadata"]["namespace"], deployment["metadata"]["name"]) == ("cluster-c", "repo-1-b0")
    assert (
        deployment["metadata"]["labels"].items()
        >= {
            "harness.dev/run": "r",
            names.BUNDLE_LABEL: "repo-1-b0",
            names.BUNDLE_NAMESPACE_LABEL: "ns",
            names.CLUSTER_LABEL: "c",
            names.CLUSTER_NAMESPACE_LABEL: "ns",
        }.items()
    )


def test_generated_names_fit_and_differ() -> None:
    long = names.cluster_namespace("n" * 60, "c" * 60)
    assert len(long) == 63
    assert long != names.cluster_namespace("n" * 60, "c" * 61)
    assert names.cluster_namespace("fleet-default", "c1").startswith("cluster-fleet-default-c1-")
    assert names.bundle_name("repo", "/") == "repo"
    assert names.bundle_name("repo", "b00001") == "repo-b00001"
    assert names.bundle_name("repo", "a/b") != names.bundle_name("repo", "a-b") == "repo-a-b"
    assert len(names.bundle_name("repo", "x" * 100)) <= 63
