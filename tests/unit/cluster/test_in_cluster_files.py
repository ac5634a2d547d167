"""What the provider `in-cluster` makes of a pod's files and variables, and when it refuses to."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from harness.cluster import guests, in_cluster, provider, setup
from harness.cluster.choice import IN_CLUSTER, KUBECONFIG, ClusterChoice
from harness.cluster.setup import OWNER
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.kinds import Kind, find
from harness.core.process_id import ProcessId
from harness.kube.client import by_files
from harness.kube.every import Found
from harness.kube.rules import Concern


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "serviceaccount"
    made.mkdir()
    for name, content in (("token", "t"), ("ca.crt", "c"), ("namespace", "harness\n")):
        (made / name).write_text(content)
    monkeypatch.setattr(in_cluster, "MOUNT", made)
    monkeypatch.setenv(in_cluster.HOST, "10.0.0.1")
    monkeypatch.delenv(in_cluster.PORT, raising=False)
    return made


def test_the_kubeconfig_names_the_tokens_file_and_is_nobody_elses(mount: Path, tmp_path: Path) -> None:
    in_cluster.check(allowed=False)
    made = in_cluster.isolate(tmp_path)
    assert made.server == "https://10.0.0.1:443"
    assert made.kubeconfig.stat().st_mode & 0o077 == 0
    document = yaml.safe_load(made.kubeconfig.read_text())
    files = by_files(document, tmp_path)
    assert files is not None, "read without the official client"
    assert (files.token_file, files.ca_file, files.cert_file) == (mount / "token", mount / "ca.crt", None)
    assert "t" not in document["users"][0]["user"].values(), "a renewed token is read where it is"


def test_an_address_of_ipv6_and_another_port(mount: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(in_cluster.HOST, "fd00::1")
    monkeypatch.setenv(in_cluster.PORT, "6443")
    assert in_cluster.isolate(tmp_path).server == "https://[fd00::1]:6443"


@pytest.mark.parametrize("lacking", ["token", "ca.crt"])
def test_without_a_token_it_is_one_line(mount: Path, lacking: str) -> None:
    (mount / lacking).unlink()
    with pytest.raises(EnvironmentFault, match=rf"{lacking}: there is no ServiceAccount .*: No such file"):
        in_cluster.check(allowed=False)


def test_outside_a_pod_it_is_one_line(mount: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(in_cluster.HOST)
    with pytest.raises(EnvironmentFault, match=r"this is no pod: KUBERNETES_SERVICE_HOST is not set; run it in a pod"):
        in_cluster.check(allowed=True)


def test_a_namespace_that_looks_like_production_is_refused_unless_allowed(mount: Path) -> None:
    (mount / "namespace").write_text("shop-prod")
    with pytest.raises(UsageError, match=r"the namespace of this pod is 'shop-prod'.*--i-know-what-i-am-doing"):
        in_cluster.check(allowed=False)
    in_cluster.check(allowed=True)


def test_options_of_other_providers_are_refused() -> None:
    with pytest.raises(UsageError, match="--context is about --cluster kubeconfig, not in-cluster"):
        provider.check(ClusterChoice(IN_CLUSTER, context="mine"))
    with pytest.raises(UsageError, match="needs a context, by name"):
        provider.check(ClusterChoice(KUBECONFIG))


def _owned(facts: object) -> list[Found]:
    return [Found(find("Namespace"), {"name": "n", "annotations": {OWNER: json.dumps(facts)}})]


def test_a_process_of_another_container_of_this_machine_is_not_taken_for_a_dead_one() -> None:
    here = ProcessId.of(os.getpid())
    assert here is not None
    facts = setup.owner_facts(here)
    assert guests._owner(_owned(facts)) == here
    inside = guests._owner(_owned(facts | {"pid": 1, "pid_namespace": "pid:[1]"}))
    assert inside is None
    assert "name it with --run" in str(guests.Guest("20260101-000000-aaaaa", 1, inside).why_not(named=False))
    older = {key: value for key, value in facts.items() if key != "pid_namespace"}
    assert guests._owner(_owned(older)) == here
    for rubbish in ("[]", '"x"', "null", "3", '{"pid": 1}', "{"):
        item = Found(find("Namespace"), {"name": "n", "annotations": {OWNER: rubbish}})
        assert guests._owner([item]) is None


WIDGET = Kind("example.com", "v1", "Widget", "widgets", namespaced=True)


@pytest.mark.parametrize(
    ("rule", "concerned"),
    [
        ({"verbs": ["list"], "apiGroups": ["example.com"], "resources": ["widgets"]}, True),
        ({"verbs": ["create"], "apiGroups": ["*"], "resources": ["*"]}, True),
        ({"verbs": ["*"], "apiGroups": ["example.com"], "resources": ["*"]}, True),
        ({"verbs": ["get", "watch", "delete"], "apiGroups": ["example.com"], "resources": ["widgets"]}, False),
        ({"verbs": ["patch"], "apiGroups": ["example.com"], "resources": ["widgets/status"]}, False),
        ({"verbs": ["list"], "apiGroups": [""], "resources": ["widgets"]}, False),
        ({"verbs": ["list"], "apiGroups": ["example.com"], "resources": ["widgets"], "resourceNames": ["a"]}, False),
        ({"verbs": ["list"]}, False),
    ],
)
def test_what_concerns_an_identity_when_it_cleans_up(rule: dict[str, list[str]], concerned: bool) -> None:
    assert Concern([rule])(WIDGET) is concerned
    assert not Concern([])(WIDGET)
    assert Concern(None)(WIDGET), "not known: then everything does"
