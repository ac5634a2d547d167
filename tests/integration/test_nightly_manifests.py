"""The manifests of a night in a cluster: a real API server takes them, and nothing in them is unknown to it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import yaml

from harness.cluster.embedded import EmbeddedCluster
from harness.core.paths import data_dir
from harness.kube.api import Api
from harness.kube.errors import ApiError

pytestmark = pytest.mark.cluster

_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "PersistentVolumeClaim": "/api/v1/namespaces/{namespace}/persistentvolumeclaims",
    "CronJob": "/apis/batch/v1/namespaces/{namespace}/cronjobs",
}
_STRICT: dict[str, str | int] = {"fieldValidation": "Strict"}
_DRY_RUN: dict[str, str | int] = {"dryRun": "All", **_STRICT}


def _documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((data_dir("manifests") / "nightly" / "cronjob.yaml").read_text()))


async def _created(cluster: EmbeddedCluster, document: dict[str, Any], query: dict[str, str | int]) -> dict[str, Any]:
    async with await Api.connect(cluster.kubeconfig) as api:
        path = _PATHS[document["kind"]].format(**document["metadata"])
        return await api.transport.request_json("POST", path, query=query, body=document)


def test_the_api_server_takes_every_manifest(embedded: EmbeddedCluster) -> None:
    """The embedded API server, which runs no pods, allows no privileged ones either: without that word it takes them all."""
    found = {}
    for document in _documents():
        if document["kind"] == "CronJob":
            with pytest.raises(
                ApiError, match=r"CronJob.batch \"nightly\" is invalid: \S+\.privileged: Forbidden: [\w ]+$"
            ):
                asyncio.run(_created(embedded, document, _DRY_RUN))
            (pod,) = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
            assert pod.pop("securityContext") == {"privileged": True}
        dry = _DRY_RUN if document["kind"] != "Namespace" else _STRICT  # the others need it
        found[document["kind"]] = asyncio.run(_created(embedded, document, dry))
    assert set(found) == set(_PATHS)
    template = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in template["volumes"]}
    assert container["envFrom"][0]["configMapRef"]["name"] == found["ConfigMap"]["metadata"]["name"]
    claim = next(volume["persistentVolumeClaim"] for volume in template["volumes"] if volume["name"] == "kept")
    assert claim["claimName"] == found["PersistentVolumeClaim"]["metadata"]["name"]


def test_what_it_does_not_know_is_refused(embedded: EmbeddedCluster) -> None:
    job = _documents()[-1]
    job["metadata"]["namespace"] = "default"
    job["spec"]["concurencyPolicy"] = "Forbid"
    with pytest.raises(ApiError, match="concurencyPolicy"):
        asyncio.run(_created(embedded, job, _DRY_RUN))
