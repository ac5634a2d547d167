"""Fake agents against a real API server: a status for every BundleDeployment, once, by the audit log and by what is there."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.setup import prepare
from harness.core.ids import namespace_of
from harness.core.kinds import find
from harness.experiment.agents import FakeAgents
from harness.kube.api import Api
from harness.kube.kubeconfig import client_files
from harness.kube.rbac import AGENTS, bind
from tests.collecting import ListSink
from tests.integration.harness_run import run

pytestmark = pytest.mark.cluster

RUN_ID = "20260101-000000-agent"
NAMESPACE = namespace_of(RUN_ID)
DEPLOYED = f"{NAMESPACE}-deployed"
CLUSTER, DEPLOYMENT = find("Cluster.fleet.cattle.io"), find("BundleDeployment")
CLUSTERS, BUNDLES = 20, 2
LIMIT_S = 60.0


def deployment(cluster: int, bundle: int, wanted: str = "s-1") -> dict[str, Any]:
    labels = {
        "fleet.cattle.io/cluster": f"cluster-agent-{cluster:05d}",
        "fleet.cattle.io/cluster-namespace": NAMESPACE,
        "fleet.cattle.io/bundle-name": f"b{bundle}",
    }
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {"name": f"b{bundle}-{cluster:05d}", "namespace": DEPLOYED, "labels": labels},
        "spec": {"deploymentID": wanted},
    }


def document(cluster: EmbeddedCluster, user: Path) -> dict[str, Any]:
    files = client_files(user)
    connection = {
        "schema": "harness.plan/v1", "run_id": RUN_ID, "seed": 3, "origin_ns": time.monotonic_ns(), "server": cluster.server,
        "ca_file": str(files.ca_file), "cert_file": str(files.cert_file), "key_file": str(files.key_file),
        "namespace": NAMESPACE, "labels": {}, "phases": [],
    }  # fmt: skip
    return {
        "schema": "harness.agents/v1", "plan": connection, "delay": {"min_s": 0.0, "max_s": 0.5}, "heartbeat_s": 1.0,
        "not_ready": 0.2, "offline": 0.2, "conflicts": 0.3, "concurrency": 8,
    }  # fmt: skip


def answers_in(log: Path) -> tuple[Counter[str], Counter[int]]:
    """Of the agents' writes of BundleDeployments: by object those that succeeded, and all by status code."""
    each: Counter[str] = Counter()
    codes: Counter[int] = Counter()
    for line in log.read_bytes().splitlines():
        event = json.loads(line)
        reference = event.get("objectRef") or {}
        if event["user"]["username"] != "harness:agents" or reference.get("resource") != "bundledeployments":
            continue
        if event["verb"] != "patch" or event["stage"] != "ResponseComplete" or reference["namespace"] != DEPLOYED:
            continue
        code = event["responseStatus"]["code"]
        codes[code] += 1
        each[reference["name"]] += code == 200
    return +each, codes


async def until(agents: FakeAgents, sink: ListSink, seen: int) -> None:
    """So many deployments have been seen, and none of them waits any more."""
    deadline = time.monotonic() + LIMIT_S
    while agents.waiting or max(sink.values("agents.seen"), default=0) < seen:
        assert time.monotonic() < deadline, "the agents did not answer"
        await asyncio.sleep(0.1)


def test_every_deployment_is_answered_once_whatever_goes_wrong(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    asyncio.run(_answered_once(embedded, tmp_path))


async def _answered_once(cluster: EmbeddedCluster, directory: Path) -> None:
    sink = ListSink()
    async with await Api.connect(cluster.kubeconfig) as api:
        await prepare(api, RUN_ID)
        await api.ensure_namespace(DEPLOYED, {})
        await bind(api, "harness:agents", AGENTS, RUN_ID)
        user = await cluster.identity("harness:agents")
        for number in range(CLUSTERS):
            metadata = {"name": f"cluster-agent-{number:05d}", "namespace": NAMESPACE}
            fleet = {"apiVersion": CLUSTER.api_version, "kind": CLUSTER.kind, "metadata": metadata, "spec": {}}
            await api.create(CLUSTER, fleet, NAMESPACE)
            if number < CLUSTERS / 2:  # there before the agents are
                await api.create(DEPLOYMENT, deployment(number, 0), DEPLOYED)
        agents = await FakeAgents.start(document(cluster, user), run_dir=directory, sink=sink, cpus=None)
        try:
            for number in range(CLUSTERS):
                for bundle in range(BUNDLES):
                    if bundle or number >= CLUSTERS / 2:
                        await api.create(DEPLOYMENT, deployment(number, bundle), DEPLOYED)
            await until(agents, sink, CLUSTERS * BUNDLES)
            there = (await api.list(DEPLOYMENT, DEPLOYED)).items
            answered = {item["metadata"]["name"]: item["status"] for item in there if "status" in item}
            again = min(answered)
            await api.merge_patch(DEPLOYMENT, again, {"spec": {"deploymentID": "s-2"}}, DEPLOYED)
            await until(agents, sink, CLUSTERS * BUNDLES + 1)
            offline = {item["metadata"]["labels"]["fleet.cattle.io/cluster"] for item in there if "status" not in item}
            async with asyncio.timeout(LIMIT_S):
                while True:
                    clusters = (await api.list(CLUSTER, NAMESPACE)).items
                    beating = [item for item in clusters if (item.get("status") or {}).get("agent")]
                    if len(beating) >= CLUSTERS - len(offline):
                        break
        finally:
            await agents.stop()
        changed = await api.get(DEPLOYMENT, again, DEPLOYED)

    (told,) = sink.of("agents")
    assert len(there) == CLUSTERS * BUNDLES
    assert 0 < len(offline) < CLUSTERS / 2
    assert len(answered) == BUNDLES * (CLUSTERS - len(offline))
    assert {status["appliedDeploymentID"] for status in answered.values()} == {"s-1"}
    assert changed["status"]["appliedDeploymentID"] == "s-2"
    assert 0 < sum(not status["ready"] for status in answered.values()) < len(answered) / 2
    assert len(beating) == CLUSTERS - len(offline)

    each, codes = answers_in(cluster.audit_log or Path())
    assert each == {name: 2 if name == again else 1 for name in answered}
    assert codes == {200: len(answered) + 1, 409: told["conflicts"]}
    assert told["conflicts"] > 0
    assert (told["answered"], told["failed"], told["waiting"]) == (len(answered) + 1, 0, 0)
    assert told["offline"] == BUNDLES * len(offline)
    assert not sink.of("agents_lost")
    assert sink.values("agents.cpu")


def test_agents_that_are_killed_are_told(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    async def killed() -> ListSink:
        sink = ListSink()
        async with await Api.connect(embedded.kubeconfig) as api:
            await prepare(api, RUN_ID)
            await bind(api, "harness:agents", AGENTS, RUN_ID)
        wanted = document(embedded, await embedded.identity("harness:agents"))
        agents = await FakeAgents.start(wanted, run_dir=tmp_path, sink=sink, cpus=None)
        await agents._child.kill()
        await agents.stop()
        return sink

    (event,) = asyncio.run(killed()).of("agents_lost")
    assert "the fake agents ended before the run" in event["message"]


def test_the_shipped_fleet_comes_to_its_end_with_agents(tmp_path: Path) -> None:
    """Its size and its pace are for `harness run`; here it is only whether all parts play together."""
    code, shown, record = run(
        tmp_path, "fleet-scale", "--profile", "quick", "--set", "clusters=8", "--set", "flip_rate=max"
    )
    # One of sixteen answers that is late makes it invalid, and rightly; what was done is the same.
    assert [reason for reason in shown["reasons"] if "of their answers more than 1 s late" not in reason] == []
    assert code == (3 if shown["reasons"] else 0)
    (told,) = record.events("agents")
    assert shown["results"]["agents.answers"]["value"] == told["answered"] == told["seen"] == 16
    assert shown["results"]["completeness.BundleDeployment"]["value"] == 1
    # What is ready waits for its agent; what is there does not.
    results = shown["results"]
    assert results["latency.deployed.p50"]["value"] > results["latency.flip.p50"]["value"]
    assert record.sql("SELECT max(value) > 0 FROM samples WHERE metric = 'agents.cpu'") == [(True,)]
