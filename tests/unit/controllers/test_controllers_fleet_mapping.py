"""Which Clusters a Bundle selects, and which objects a change queues."""

from __future__ import annotations

from typing import Any

import pytest

from harness.controllers.fleet import names
from harness.controllers.fleet.bundle import _not_our_own, _retargets, _state_differs, make_deployment
from harness.controllers.fleet.context import wants_reconcile
from harness.controllers.fleet.deployment import applied
from harness.controllers.fleet.gitrepo import make_bundle
from harness.controllers.fleet.helm import Release
from harness.controllers.fleet.management import label_patch, wanted_labels
from harness.controllers.fleet.mapping import difference
from harness.controllers.fleet.selectors import Candidate, Selectors, parse_selector, parse_targets
from harness.controllers.fleet.summary import is_ready, of_deployments, of_summaries
from harness.controllers.runtime.informer import Event
from harness.controllers.runtime.order import Work


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
        ({"matchLabels": {"no key!": "x"}}, {"no key!": "x"}, False),
    ],
)
def test_label_selectors(selector: dict[str, Any], labels: dict[str, str], matches: bool) -> None:
    assert parse_selector(selector).matches(labels) is matches


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
        ({"clusterGroup": "other", "clusterSelector": {}}, False),
        ({"clusterGroup": "g"}, True),
        ({"clusterGroup": "g", "clusterName": "c2"}, False),
        ({"clusterGroupSelector": {"matchLabels": {"tier": "gold"}}, "clusterName": "c1"}, True),
        ({"clusterGroupSelector": {"matchLabels": {"tier": "none"}}}, False),
    ],
)
def test_all_criteria_of_a_target_must_hold(target: dict[str, Any], matches: bool) -> None:
    labels = {"env": "prod", names.DISPLAY_NAME_LABEL: "shown"}
    cluster = Candidate("c1", labels, (("g", {"tier": "gold"}),))
    assert parse_targets([target]).match(cluster) is matches


@pytest.mark.parametrize("cached", [True, False])
def test_a_bundle_matches_by_any_of_its_targets(cached: bool) -> None:
    selectors, prod = Selectors(cached=cached), Candidate("c", {"env": "prod"})
    assert selectors.bundle_matches(bundle("b", {"matchLabels": {"x": "y"}}, PROD), prod)
    assert not selectors.bundle_matches(bundle("other"), prod)
    assert selectors.bundle_matches({"metadata": bundle("unseen")["metadata"]}, prod) is None


def test_a_cluster_is_in_the_groups_that_select_it() -> None:
    groups = [obj("g", {"tier": "gold"}, spec={"selector": PROD}), obj("none"), obj("all", spec={"selector": {}})]
    found = Selectors(cached=True).candidate(obj("c", {"env": "prod"}), groups)
    assert found.groups == (("g", {"tier": "gold"}), ("all", {}))


@pytest.mark.parametrize(("cached", "parsed"), [(True, 2), (False, 40)])
def test_selectors_are_parsed_once_for_each_content_or_for_each_match(cached: bool, parsed: int) -> None:
    selectors = Selectors(cached=cached)
    bundles = [bundle("a", PROD), bundle("b", PROD), bundle("c", {}), bundle("d", PROD)]
    for number in range(10):
        for each in bundles:
            selectors.bundle_matches(each, Candidate(f"c{number}", {"env": "prod"}))
    assert selectors.parsed == parsed
    changed = {**bundle("a", {}), "metadata": {**bundle("a")["metadata"], "generation": 2}}
    assert selectors.bundle_matches(changed, Candidate("c", {}))  # another generation is parsed anew
    for each in bundles:
        selectors.forget_bundle(f"ns/{each['metadata']['name']}")
    assert not selectors._bundles
    del changed
    assert not selectors._shared


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
    before, after = (None if labels is None else Candidate("c", labels) for labels in (old, new))
    found = {each["metadata"]["name"]: difference(Selectors(cached=True), each, before, after) for each in bundles}
    assert sorted(name for name, work in found.items() if work is not None) == sorted(queued)
    both = old is not None and new is not None
    assert found["any"] is (Work.MAYBE if both else Work.CHANGED)  # it selects the Cluster before and after
    assert all(work is Work.CHANGED for name, work in found.items() if name != "any" and work is not None)


def test_a_bundle_whose_selectors_are_unknown_may_be_concerned() -> None:
    partial = {"metadata": bundle("b")["metadata"]}
    assert difference(Selectors(cached=True), partial, Candidate("c", {}), Candidate("c", {"env": "x"})) is Work.MAYBE


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
    assert not _not_our_own(Event(None, waiting))
    assert _not_our_own(Event(None, waiting, initial=True))
    assert _not_our_own(Event(waiting, ready))
    assert _not_our_own(Event(ready, None))
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
    deployment = make_deployment(made, cluster, Release(b"", "sum"), {"a": "b"})
    assert deployment["metadata"]["annotations"] == {"a": "b"}
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
