"""Every manifest that people apply, as kustomize builds it: a real API server takes it, under Pod Security and without a warning.

A dry run on the server goes through all of admission and validation, and stops before it stores. What makes pods is only warned
about by Pod Security, so that each of its pods is tried too.
"""

from __future__ import annotations

import asyncio
import copy
import http.client
import json
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.core.kinds import Kind
from harness.kube.api import Api
from harness.kube.kubeconfig import client_files
from tests import kustomized

pytestmark = pytest.mark.cluster

APPLY = {"dryRun": "All", "fieldValidation": "Strict", "fieldManager": "tests", "force": "true"}
LEVEL = "pod-security.kubernetes.io/enforce"
MORE_THAN_RESTRICTED = {"harness-nightly": "privileged"}
"""Namespaces whose pods may do more: cgroups of limits, and ptrace."""


class Server:
    """Plain requests, for `Warning` headers are looked at."""

    def __init__(self, cluster: EmbeddedCluster) -> None:
        self._files = client_files(cluster.kubeconfig)
        self._address = urlsplit(cluster.server)
        self._tls = ssl.create_default_context(cafile=self._files.ca_file)
        assert self._files.cert_file is not None
        self._tls.load_cert_chain(self._files.cert_file, self._files.key_file)
        self._kubeconfig = cluster.kubeconfig
        self._kinds: dict[tuple[str, str], Kind] = {}

    def send(
        self, method: str, path: str, query: dict[str, str], body: object, kind: str = "application/json"
    ) -> tuple[int, dict[str, Any], list[str]]:
        """Status, answer, warnings."""
        connection = http.client.HTTPSConnection(self._address.netloc, context=self._tls, timeout=30)
        try:
            headers = {"Content-Type": kind}
            connection.request(method, f"{path}?{urlencode(query)}", json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers.get_all("Warning") or []
        finally:
            connection.close()

    def kind(self, document: dict[str, Any]) -> Kind:
        key = (document["apiVersion"], document["kind"])
        if key not in self._kinds:

            async def ask() -> Kind:
                async with await Api.connect(self._kubeconfig) as api:
                    return await api.discovery.kind(*key)

            self._kinds[key] = asyncio.run(ask())
        return self._kinds[key]

    def apply(self, document: dict[str, Any], query: dict[str, str]) -> tuple[int, dict[str, Any], list[str]]:
        """Server-side apply, as `kubectl apply --server-side`."""
        metadata = document["metadata"]
        path = self.kind(document).path(metadata.get("namespace"), metadata["name"])
        return self.send("PATCH", path, query, document, "application/apply-patch+yaml")

    def dry_pod(self, document: dict[str, Any]) -> tuple[int, dict[str, Any], list[str]]:
        """The pod that a Job, CronJob or Deployment would make."""
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "tried"}, "spec": template(document)["spec"]}
        path = f"/api/v1/namespaces/{document['metadata']['namespace']}/pods"
        return self.send("POST", path, {"dryRun": "All", "fieldValidation": "Strict"}, pod)


def template(document: dict[str, Any]) -> dict[str, Any]:
    spec = document["spec"]
    if document["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: dict[str, Any] = spec["template"]
    return found


def making_pods(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] in ("Job", "CronJob", "Deployment")]


@pytest.fixture(scope="module")
def server(embedded: EmbeddedCluster) -> Server:
    return Server(embedded)


@pytest.fixture(scope="module", params=kustomized.OVERLAYS)
def documents(request: pytest.FixtureRequest, server: Server) -> Iterator[list[dict[str, Any]]]:
    """An overlay; its namespaces, and the accounts that its pods name, are really there."""
    found = kustomized.overlay(request.param)
    stored = {key: value for key, value in APPLY.items() if key != "dryRun"}
    first = [each for each in found if each["kind"] in ("Namespace", "ServiceAccount")]
    names = {each["metadata"]["name"] for each in first if each["kind"] == "Namespace"}
    accounts = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": name}}
        for name in names
    ]
    for each in sorted([*first, *accounts], key=lambda one: one["kind"]):  # Namespace before ServiceAccount
        status, answer, _ = server.apply(each, stored)
        assert status in (200, 201), answer
    yield found
    for name in names:
        server.send("DELETE", f"/api/v1/namespaces/{name}", {}, {})

    async def gone() -> None:
        async with await Api.connect(server._kubeconfig) as api:
            for name in names:
                await api.wait_namespace_gone(name)

    asyncio.run(gone())


def test_the_api_server_takes_every_manifest_and_every_pod_of_it_without_a_warning(
    server: Server, documents: list[dict[str, Any]]
) -> None:
    for document in documents:
        status, answer, warnings = server.apply(document, APPLY)
        place = f"{document['kind']} {document['metadata']['name']}"
        assert status in (200, 201), (place, answer.get("message"))
        assert warnings == [], place
    assert making_pods(documents)
    for document in making_pods(documents):
        status, answer, warnings = server.dry_pod(document)
        assert (status, warnings) == (201, []), (document["metadata"]["name"], answer.get("message"))


def test_only_where_a_namespace_says_so_is_more_allowed_than_restricted(
    server: Server, documents: list[dict[str, Any]]
) -> None:
    namespaces = {each["metadata"]["name"]: each["metadata"] for each in documents if each["kind"] == "Namespace"}
    levels = {name: metadata["labels"][LEVEL] for name, metadata in namespaces.items()}
    assert levels == {name: MORE_THAN_RESTRICTED.get(name, "restricted") for name in levels}
    placed = {each["metadata"].get("namespace") for each in documents} - {None}
    assert placed <= set(namespaces), "nothing is made in anybody else's namespace"
    for document in making_pods(documents):
        worse = copy.deepcopy(document)
        template(worse)["spec"]["containers"][0]["securityContext"] = {"privileged": True}
        status, answer, _ = server.dry_pod(worse)
        level = levels[document["metadata"]["namespace"]]
        if level == "privileged":
            assert status == 201, answer
            continue
        assert status == 403, "Pod Security is not in force"
        assert f'violates PodSecurity "{level}:latest": ' in answer["message"]
        _, _, warnings = server.apply(worse, APPLY)
        (warning,) = warnings
        assert f'would violate PodSecurity \\"{level}:latest\\"' in warning


def test_a_key_that_no_server_knows_is_refused(server: Server, documents: list[dict[str, Any]]) -> None:
    document = copy.deepcopy(making_pods(documents)[0])
    document["spec"]["concurencyPolicy"] = "Forbid"
    status, answer, _ = server.apply(document, APPLY)
    assert status >= 400
    assert "concurencyPolicy" in answer["message"]


def test_what_manifests_name_is_there(documents: list[dict[str, Any]]) -> None:
    """Claims, ConfigMaps, Secrets, accounts, roles, the pods that policies and Services select: by the name that they have."""
    there = {(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in documents}
    pods = {}
    for document in making_pods(documents):
        made = template(document)
        namespace = document["metadata"]["namespace"]
        pods[document["metadata"]["name"]] = (namespace, (made.get("metadata") or {}).get("labels") or {})
        spec = made["spec"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        for container in spec["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            for source in container.get("envFrom", ()):
                assert ("ConfigMap", namespace, source["configMapRef"]["name"]) in there
        for volume in spec["volumes"]:
            for key, kind, name in (
                ("persistentVolumeClaim", "PersistentVolumeClaim", "claimName"),
                ("configMap", "ConfigMap", "name"),
            ):
                assert key not in volume or (kind, namespace, volume[key][name]) in there
            assert volume.get("secret", {}).get("secretName") in (None, "load-workers"), "which people make themselves"
        account = spec.get("serviceAccountName")
        assert account is None or ("ServiceAccount", namespace, account) in there
    for document in documents:
        if document["kind"] == "ClusterRoleBinding":
            assert ("ClusterRole", None, document["roleRef"]["name"]) in there
            for subject in document["subjects"]:
                assert (subject["kind"], subject["namespace"], subject["name"]) in there
        selector = None
        if document["kind"] == "Service":
            selector = document["spec"]["selector"]
        elif document["kind"] == "NetworkPolicy":
            selector = document["spec"]["podSelector"].get("matchLabels")
        if selector:
            namespace = document["metadata"]["namespace"]
            assert any(where == namespace and selector.items() <= labels.items() for where, labels in pods.values())


def test_each_namespace_denies_all_that_is_not_named(documents: list[dict[str, Any]]) -> None:
    namespaces = {each["metadata"]["name"] for each in documents if each["kind"] == "Namespace"}
    denying = {
        each["metadata"]["namespace"]
        for each in documents
        if each["kind"] == "NetworkPolicy"
        and each["spec"]["podSelector"] == {}
        and set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"}
        and not each["spec"].get("ingress")
        and not each["spec"].get("egress")
    }
    assert denying == namespaces


def test_subjects_are_pods_of_the_image_that_the_harness_is() -> None:
    for name in ("local", "local-workers", "observability", "workers"):
        (job,) = making_pods([each for each in kustomized.overlay(name) if each["metadata"]["name"] == "harness"])
        (container,) = template(job)["spec"]["containers"]
        (named,) = [each["value"] for each in container["env"] if each["name"] == "HARNESS_CONTROLLERS_IMAGE"]
        assert named == container["image"]
