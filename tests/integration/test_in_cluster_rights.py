"""The rights of the harness in a cluster (manifests/base/harness/role.yaml): each verb is needed, and none is missing.

Each verb of its own role is taken away in turn, and what a run does with the cluster is done until it fails: in the API server's
words, or in the preflight's. What it holds only to hand on is taken away in the same manner. And a whole run by the
ServiceAccount's token is held against the audit log.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster import cleanup, in_cluster, kubeconfig, setup
from harness.cluster.accounts import Accounts
from harness.cluster.choice import IN_CLUSTER, ClusterChoice
from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.isolation import Isolated
from harness.core.errors import HarnessError
from harness.core.ids import RUN_LABEL, namespace_of
from harness.core.kinds import find
from harness.core.paths import data_dir
from harness.experiment import pods
from harness.experiment.leases import Leases
from harness.kube import rbac
from harness.kube.api import Api
from harness.kube.discovery import CLUSTER_ROLE, CRD
from harness.kube.errors import ApiError
from harness.kube.kubeconfig import client_files
from harness.kube.manifests import apply_files
from harness.kube.workloads import POD
from harness.subject import pod_manifest
from harness.subject.pod_log import PodLog
from harness.subject.pod_manifest import PodSpec
from harness.subject.pod_watch import PodWatch
from harness.subject.readiness import LEASE
from tests import kustomized
from tests.integration.conftest import started

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

RUN_ID = "20260101-000000-right"
ACCOUNT = "system:serviceaccount:harness:harness"
HANDED_ON = ("harness-loadgen", "harness-watcher", "harness-fleet")
SCENARIO = """
name: small
summary: Secrets and a flip, from inside.
subject: {controller: fleet, options: {workers: 5}}
load:
  - create: {kind: Cluster.management.cattle.io, count: 2}
  - create: {kind: Secret, count: 20, size: 1KB, namespaces: 2}
  - create: {kind: GitRepo, count: 2, bundles: 2, matching: 1}
  - settle: {quiet_for: 1s, timeout: 1m}
  - flip: {kind: Cluster.management.cattle.io, labels: {env: prod}}
    probes: [{name: flip, until: BundleDeployment}]
  - settle: {quiet_for: 1s, timeout: 1m}
expect: [completeness.Secret == 1, load.failures == 0]
"""
OF_PODS = {
    ("", "serviceaccounts", "patch"), ("", "configmaps", "create"), ("", "configmaps", "patch"), ("", "services", "get"),
    ("", "pods", "create"), ("", "pods", "watch"), ("", "pods", "delete"), ("", "pods/log", "get"),
    ("", "pods/portforward", "get"), ("", "pods/portforward", "create"),
}  # fmt: skip
"""What only a subject in a pod takes: tests/kind/test_in_cluster.py looks into the audit log of such a run."""
NOT_LOGGED = {("coordination.k8s.io", "leases", "list"), ("coordination.k8s.io", "leases", "delete")}
"""The audit policy leaves Leases out."""
BY_APPLY = {("", "configmaps", "create"), ("rbac.authorization.k8s.io", "clusterrolebindings", "create")}
"""An apply of what is not there yet is authorized as a create too, and logged as the patch that it is."""

Right = tuple[str, str, str]
"""API group, resource with its subresource, verb."""


def rights_of(rules: list[dict[str, Any]]) -> list[Right]:
    return [
        (group, resource, verb)
        for rule in rules
        for group in rule.get("apiGroups", ())
        for resource in rule.get("resources", ())
        for verb in rule["verbs"]
    ]


def without(rules: list[dict[str, Any]], right: Right) -> list[dict[str, Any]]:
    """The same rules, but for one right."""
    group, resource, verb = right
    kept = []
    for rule in rules:
        for one in rule.get("resources", [None]):
            own = {**rule, "resources": [one]} if one is not None else dict(rule)
            if one == resource and group in rule["apiGroups"]:
                own["verbs"] = [each for each in rule["verbs"] if each != verb]
            if own["verbs"]:
                kept.append(own)
    return kept


def role(path: str, name: str) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((data_dir("manifests") / path).read_text())
    (found,) = [each for each in documents if (each["kind"], each["metadata"]["name"]) == ("ClusterRole", name)]
    return list(found["rules"])


ROLES = {
    "harness": role("base/harness/role.yaml", "harness"),
    **{name: role(f"rbac/{name.removeprefix('harness-')}.yaml", name) for name in HANDED_ON},
}
OWN = rights_of(ROLES["harness"])


def words(right: Right) -> str:
    return f"{right[2]} {right[1]}{f'.{right[0]}' if right[0] else ''}"


@pytest.fixture(scope="module")
def cluster(
    cluster_loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedCluster]:
    """A cluster of this module's own: what is granted here reaches into all namespaces."""
    with started(cluster_loop, tmp_path_factory.mktemp("rights"), "20260101-000000-inner") as made:
        asyncio.run(define(made))
        yield made


async def define(cluster: EmbeddedCluster) -> None:
    """Ours are there already: a run that brings them along and takes them away again costs the API server a second."""
    async with administrator(cluster) as api:
        await apply_files(api, [data_dir("manifests") / "crds"])


@dataclass
class Holder:
    """Somebody with a role of the given rules; `isolated` is as a run has it."""

    isolated: Isolated
    user: str


@asynccontextmanager
async def administrator(cluster: EmbeddedCluster) -> AsyncIterator[Api]:
    async with await Api.connect(cluster.kubeconfig) as api:
        yield api


async def holder(cluster: EmbeddedCluster, name: str, rules: list[dict[str, Any]]) -> Holder:
    """An identity with these rights, in force."""
    user = f"tests:{name}"
    kubeconfig_file = await cluster.identity(user)
    async with administrator(cluster) as api:
        document = {
            "apiVersion": CLUSTER_ROLE.api_version,
            "kind": CLUSTER_ROLE.kind,
            "metadata": {"name": f"tests-{name}"},
        }
        # The last rule is what is waited for, so it is one that nobody takes away.
        await api.apply(
            {**document, "rules": [*rules, {"apiGroups": ["tests"], "resources": ["all"], "verbs": ["get"]}]}
        )
        await rbac.bind(api, user, f"tests-{name}", "20260101-000000-tests")
    return Holder(Isolated(kubeconfig_file, client_files(kubeconfig_file).ca_file, cluster.server), user)


async def work(cluster: EmbeddedCluster, who: Holder, directory: Path) -> list[str]:
    """What a run does in the cluster as the harness itself, with a subject in a pod, from preflight to cleaning up.

    Returns what cleaning up says; raises what fails before that. There are no nodes here: the pod stays where it is made.
    """
    choice = ClusterChoice(IN_CLUSTER)
    await kubeconfig._probe(who.isolated, choice)
    accounts = Accounts(
        kubeconfig=who.isolated.kubeconfig, server=cluster.server, ca_file=who.isolated.ca_file, directory=directory,
        run_id=RUN_ID, cluster="in-cluster",
    )  # fmt: skip
    async with await Api.connect(who.isolated.kubeconfig) as api:
        try:
            await setup.prepare_as_guest(api, RUN_ID, [find("Secret")], roles=HANDED_ON)
            leases = Leases(api, namespace_of(RUN_ID))
            await leases.remember()
            await accounts.identity("harness:watcher")
            await rbac.bind(api, accounts.username("harness:watcher"), f"harness-watcher-{RUN_ID}", RUN_ID)
            await subject_in_a_pod(api, directory)
            await a_lease_of_the_subject(cluster)
            assert await leases.clear() == [f"{namespace_of(RUN_ID)}/fleet"]
        finally:
            await accounts.close()
        return list(await cleanup.remove(api, RUN_ID, limit_s=20))


async def subject_in_a_pod(api: Api, directory: Path) -> None:
    namespace = pod_manifest.namespace_of(RUN_ID)
    await api.ensure_namespace(namespace, {RUN_LABEL: RUN_ID})
    for manifest in pod_manifest.account(RUN_ID, await pods._server_inside(api)):
        await api.apply(manifest)
    spec = PodSpec(run_id=RUN_ID, namespace=namespace, incarnation=0, image="nobody/has:this", hardened=True)
    await api.create(POD, pod_manifest.pod(spec), namespace)
    watch = PodWatch(api, namespace, spec.name)
    following = asyncio.create_task(watch.run())
    try:
        while not watch.uid:
            await asyncio.wait(
                {following, asyncio.create_task(watch.changed.wait())}, return_when=asyncio.FIRST_COMPLETED
            )
            if following.done():
                following.result()
        log = PodLog(api, namespace, spec.name, pod_manifest.CONTAINER, directory / "subject.log")
        log.start()
        await log.finish(10)
        if log.failure is not None:
            raise AssertionError(log.failure)
        try:
            await api.transport.websocket(
                f"{POD.path(namespace, spec.name)}/portforward", {"ports": 1}, "v4.channel.k8s.io"
            )
        except ApiError as error:
            if error.status == 403:
                raise
        await api.delete(POD, spec.name, namespace)
        async with asyncio.timeout(20):
            await following  # until it is seen to be gone
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def a_lease_of_the_subject(cluster: EmbeddedCluster) -> None:
    lease = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": {"name": "fleet"}, "spec": {}}
    async with administrator(cluster) as api:
        await api.create(LEASE, lease, namespace_of(RUN_ID))


async def swept(cluster: EmbeddedCluster) -> None:
    """Nothing of the last try is there for the next."""
    async with administrator(cluster) as api:
        assert await cleanup.remove(api, RUN_ID, limit_s=60) == []


async def tried(cluster: EmbeddedCluster, name: str, rules: list[dict[str, Any]], directory: Path) -> str:
    """What failed, in words; empty where nothing did."""
    who = await holder(cluster, name, rules)
    try:
        return "; ".join(await work(cluster, who, directory))
    except (HarnessError, AssertionError) as error:
        return str(error)
    finally:
        await swept(cluster)


def all_rules() -> list[dict[str, Any]]:
    return [rule for rules in ROLES.values() for rule in rules]


def test_with_all_of_them_nothing_fails_and_nothing_stays(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    assert asyncio.run(tried(cluster, "whole", all_rules(), tmp_path)) == ""


@pytest.mark.parametrize("right", OWN, ids=words)
def test_without_one_verb_of_its_own_a_run_fails_and_says_so(
    cluster: EmbeddedCluster, tmp_path: Path, right: Right
) -> None:
    group, resource, verb = right
    said = asyncio.run(tried(cluster, f"lacks-{OWN.index(right)}", without(all_rules(), right), tmp_path))
    assert "\n" not in said
    in_words = f"{verb} {resource}" in said  # the preflight's
    by_server = f'cannot {verb} resource "{resource}" in API group "{group}"' in said
    handing_on = f'not currently held: {{APIGroups:["{group}"], Resources:["{resource}"], Verbs:["{verb}"]}}' in said
    no_socket = (
        "403 Forbidden: it takes the verbs get and" in said and f"{verb}" in said and said.endswith(f"of {resource}")
    )
    assert in_words or by_server or handing_on or no_socket, said


@pytest.mark.parametrize("name", HANDED_ON)
def test_what_it_does_not_hold_it_cannot_hand_on(cluster: EmbeddedCluster, name: str) -> None:
    """RBAC's own rule: making a role takes all of its rights. So none of those that are held to be handed on is spare."""
    asyncio.run(hand_on(cluster, name))


async def hand_on(cluster: EmbeddedCluster, name: str) -> None:
    made = {
        "apiVersion": CLUSTER_ROLE.api_version, "kind": CLUSTER_ROLE.kind, "metadata": {"name": f"{name}-{RUN_ID}"},
        "rules": ROLES[name],
    }  # fmt: skip
    gate = asyncio.Semaphore(8)
    may_make = {"apiGroups": [CLUSTER_ROLE.group], "resources": [CLUSTER_ROLE.plural], "verbs": ["create"]}

    async def less(number: int, right: Right) -> None:
        async with gate:
            who = await holder(cluster, f"{name}-{number}", [may_make, *without(ROLES[name], right)])
            async with await Api.connect(who.isolated.kubeconfig) as api:
                with pytest.raises(
                    ApiError, match="attempting to grant RBAC permissions not currently held"
                ) as refused:
                    await api.transport.request_json("POST", CLUSTER_ROLE.path(), query={"dryRun": "All"}, body=made)
        _, resource, verb = right
        assert f'Resources:["{resource}"], Verbs:["{verb}"]' in refused.value.message, (right, refused.value.message)

    rights = rights_of(ROLES[name])
    await asyncio.gather(*(less(number, right) for number, right in enumerate(rights)))
    who = await holder(cluster, f"{name}-whole", [may_make, *ROLES[name]])
    async with await Api.connect(who.isolated.kubeconfig) as api:
        await api.transport.request_json("POST", CLUSTER_ROLE.path(), query={"dryRun": "All"}, body=made)


def test_a_run_by_the_token_of_a_pod_uses_these_rights_and_no_others(cluster: EmbeddedCluster, tmp_path: Path) -> None:
    """The subject is a process here; `OF_PODS` is what a pod would take."""
    stored = asyncio.run(applied(cluster))
    mount = mounted(cluster, tmp_path / "mount")
    scenario = tmp_path / "small.yaml"
    scenario.write_text(SCENARIO)
    done = inside(
        cluster, mount, "run", str(scenario), "--cluster", "in-cluster", "--json", "--out", str(tmp_path / "runs")
    )
    run = json.loads(done.stdout)
    assert done.returncode == 0, run["reasons"]
    assert (run["cluster"]["provider"], run["cluster"]["name"]) == ("in-cluster", "in-cluster")
    assert run["warnings"] == [
        each for each in run["warnings"] if "looked at" not in each and "still there" not in each
    ]
    used, refused = asked(cluster, ACCOUNT)
    assert refused == set(), "it asks for nothing that it may not have"
    own = set(rights_of(stored["harness"]))
    handed = {right for name in HANDED_ON for right in rights_of(stored[name])}
    assert used <= own | handed | set(rights_of(everybodys(stored)))
    assert own - used == OF_PODS | NOT_LOGGED | BY_APPLY, "each verb is used"


def inside(cluster: EmbeddedCluster, mount: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`harness …` as in a pod: the kubelet's folder is elsewhere, its variables are set."""
    program = (
        "import sys, pathlib; from harness.cluster import in_cluster; in_cluster.MOUNT = pathlib.Path(sys.argv.pop(1)); "
        "from harness.cli.main import main; main()"
    )
    host, _, port = cluster.server.removeprefix("https://").rpartition(":")
    variables = {in_cluster.HOST: host, in_cluster.PORT: port}
    return subprocess.run(
        [sys.executable, "-c", program, str(mount), *arguments], capture_output=True, text=True, timeout=240,
        env=os.environ | variables,
    )  # fmt: skip


async def applied(cluster: EmbeddedCluster) -> Mapping[str, list[dict[str, Any]]]:
    """The account, its roles and bindings as people apply them; the rules of all ClusterRoles that are there then."""
    documents = await asyncio.to_thread(
        kustomized.overlay, "local"
    )  # may have to build kustomize, in a loop of its own
    async with administrator(cluster) as api:
        for definition in (await api.list(CRD)).items:  # else the run has none to bring along
            await api.delete(CRD, definition["metadata"]["name"])
        while (await api.list(CRD)).items:  # noqa: ASYNC110 # the API server's doing
            await asyncio.sleep(0.1)
        for kind in ("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding"):
            for document in documents:
                if document["kind"] == kind:
                    await api.apply(document)
        await rbac.bind(api, ACCOUNT, "harness", "20260101-000000-tests")  # waits until the authorizer knows
        return {each["metadata"]["name"]: each.get("rules") or [] for each in (await api.list(CLUSTER_ROLE)).items}


def mounted(cluster: EmbeddedCluster, mount: Path) -> Path:
    """What a kubelet puts into a pod of the account."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}

    async def ask() -> str:
        async with administrator(cluster) as api:
            path = find("ServiceAccount").path("harness", "harness", "token")
            return str((await api.transport.request_json("POST", path, body=body))["status"]["token"])

    mount.mkdir()
    (mount / "token").write_text(asyncio.run(ask()))
    (mount / "ca.crt").write_bytes(client_files(cluster.kubeconfig).ca_file.read_bytes())
    (mount / "namespace").write_text("harness")
    return mount


def asked(cluster: EmbeddedCluster, user: str) -> tuple[set[Right], set[Right]]:
    """What somebody did, and what was refused to them."""
    assert cluster.audit_log is not None
    return asked_in(cluster.audit_log, user)


def asked_in(audit_log: Path, user: str) -> tuple[set[Right], set[Right]]:
    """The same of an audit log."""
    used: set[Right] = set()
    refused: set[Right] = set()
    for text in audit_log.read_text().splitlines():
        line = json.loads(text)
        if line["user"]["username"] != user or "objectRef" not in line:
            continue
        reference = line["objectRef"]
        resource = "/".join(filter(None, (reference.get("resource"), reference.get("subresource"))))
        right = (reference.get("apiGroup", ""), resource, line["verb"])
        (refused if line.get("responseStatus", {}).get("code") == 403 else used).add(right)
    return used, refused


def everybodys(roles: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """What Kubernetes lets every account do: ask what it may itself."""
    return roles["system:basic-user"]


def test_inside_no_cluster_it_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.cli.main", "run", "smoke", "--arm", "pass", "--cluster", "in-cluster"]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "this is no pod: KUBERNETES_SERVICE_HOST is not set; run it in a pod with a ServiceAccount" in done.stderr
