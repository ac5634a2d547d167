"""What is sent: objects by kind, the same for the same seed."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest

from loadgen.actions import Request, action_of
from loadgen.plan import parse
from tests.unit.loadgen.loadgen_plans import NAMESPACE, RUN, SELECTION, phase, plan


def requests(seed: int = 7, **changes: Any) -> list[Request]:
    """All requests of one phase, made in order."""
    parsed = parse(plan(phase(**changes), seed=seed))
    (only,) = parsed.phases.values()
    action = action_of(parsed, only)
    return [action(index) for index in range(only.count)]


def bodies(**changes: Any) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in requests(**changes)]


def payload(secret: dict[str, Any]) -> bytes:
    return base64.b64decode(secret["data"]["payload"], validate=True)


def test_a_secret_is_of_a_size_before_base64_drawn_from_the_range() -> None:
    secrets = bodies(count=200, params={"size": [100, 110]})
    sizes = {len(payload(secret)) for secret in secrets}
    assert sizes == set(range(100, 111))
    assert secrets[42]["metadata"] == {
        "name": "create-secret-k4x7q-00042",
        "namespace": NAMESPACE,
        "labels": {"harness.dev/run": RUN},
    }
    assert (secrets[0]["apiVersion"], secrets[0]["kind"], secrets[0]["type"]) == ("v1", "Secret", "Opaque")
    assert {len(payload(secret)) for secret in bodies(params={"size": 33})} == {33}


def test_objects_refer_to_earlier_ones() -> None:
    secrets = {"names": "secret-k4x7q-{i:05d}", "count": 5}
    repos = bodies(kind="GitRepo", count=7, params={"bundles": 1, "uses": secrets, **SELECTION, "matching": []})
    assert [repo["spec"]["clientSecretName"][-1] for repo in repos] == ["0", "1", "2", "3", "4", "0", "1"]
    accounts = bodies(kind="ServiceAccount", count=2, params={"uses": secrets})
    assert [[each["name"][-1] for each in account["secrets"]] for account in accounts] == [["0", "2", "4"], ["1", "3"]]
    uses = {"names": "serviceaccount-k4x7q-{i:05d}", "count": 2}
    services = bodies(kind="InferenceService", count=3, params={"uses": uses})
    named = [service["spec"]["predictor"]["serviceAccountName"] for service in services]
    assert named == [f"serviceaccount-k4x7q-0000{number}" for number in (0, 1, 0)]
    # Without a relation there is none, and more accounts than Secrets leave some without any.
    assert "secrets" not in bodies(kind="ServiceAccount", count=1, params={})[0]
    assert "secrets" not in bodies(kind="ServiceAccount", count=6, params={"uses": secrets})[5]


def test_bytes_depend_on_seed_phase_and_index_alone() -> None:
    params = {"size": [10, 5000]}
    first = requests(count=20, params=params)
    assert requests(count=20, params=params) == first
    assert requests(count=40, params=params)[:20] == first
    # As seen when this was written: the bytes must not change with Python, machine or our own edits.
    assert zlib.crc32(first[3].body) == 1450659168
    others = [payload(secret) for seed in (7, 8) for name in ("a", "b") for secret in bodies(seed=seed, name=name)]
    assert len(set(others)) == len(others)


def test_a_request_says_where_and_how() -> None:
    create = requests()[1]
    assert (create.verb, create.method, create.path) == ("create", "POST", f"/api/v1/namespaces/{NAMESPACE}/secrets")
    assert (create.name, create.content_type) == ("create-secret-k4x7q-00001", "application/json")


def test_own_labels_join_those_of_the_run() -> None:
    (secret, *_) = bodies(params={"size": 1, "labels": {"team": "a", "harness.dev/run": "no"}})
    assert secret["metadata"]["labels"] == {"team": "a", "harness.dev/run": RUN}


def test_git_repos_have_a_path_per_bundle_and_select_by_index() -> None:
    specs = [repo["spec"] for repo in bodies(kind="GitRepo", params={**SELECTION, "bundles": 2})]
    assert specs[0]["paths"] == ["b00000", "b00001"]
    selected = [spec["targets"][0]["clusterSelector"]["matchLabels"]["env"] for spec in specs]
    assert selected == ["other", "prod", "other"]
    assert all(".invalid/" in spec["repo"] and spec["branch"] == "main" for spec in specs)


def test_bundles_carry_a_manifest_of_the_size_asked_for() -> None:
    bundles = bodies(kind="Bundle", count=50, params={**SELECTION, "size": [600, 700]})
    contents = [bundle["spec"]["resources"][0]["content"] for bundle in bundles]
    assert all(600 <= len(content) <= 700 for content in contents)
    assert len({len(content) for content in contents}) > 20
    (tiny, *_) = bodies(kind="Bundle", params={**SELECTION, "size": 9})
    assert tiny["spec"]["resources"][0]["content"] == "#########"
    assert contents[0].startswith("apiVersion: v1\nkind: ConfigMap\n")
    assert bundles[1]["spec"]["targets"][0]["clusterSelector"]["matchLabels"] == {"env": "prod"}


def test_a_cluster_of_rancher_is_cluster_scoped_and_points_to_the_namespace() -> None:
    (cluster, *_) = bodies(kind="Cluster.management.cattle.io", namespaced=False, params={})
    assert "namespace" not in cluster["metadata"]
    assert cluster["spec"] == {"fleetWorkspaceName": NAMESPACE, "displayName": "create-secret-k4x7q-00000"}


@pytest.mark.parametrize("kind", ["Cluster.fleet.cattle.io", "InferenceService"])
def test_other_kinds_have_a_spec(kind: str) -> None:
    assert all(item["spec"] for item in bodies(kind=kind, params={}))


def test_a_flip_merges_labels_into_each_object_once() -> None:
    flips = requests(action="flip", kind="Cluster.management.cattle.io", params={"labels": {"env": "prod"}})
    assert [flip.path.rpartition("/")[2] for flip in flips] == [f"create-secret-k4x7q-0000{i}" for i in range(3)]
    assert {(flip.verb, flip.method, flip.content_type) for flip in flips} == {
        ("patch", "PATCH", "application/merge-patch+json")
    }
    assert json.loads(flips[0].body) == {"metadata": {"labels": {"env": "prod"}}}
