"""The load generator against a real API server, driven by the harness's own end of the border."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.setup import prepare
from harness.core.clock import RunClock
from harness.core.ids import RUN_LABEL, new_run_id
from harness.core.kinds import Kind, find
from harness.core.sinks import PropagationRow, RequestRow
from harness.experiment.load import LoadGenerator
from harness.kube.api import Api
from harness.kube.kubeconfig import client_files

pytestmark = pytest.mark.cluster

SELECTION = {"matching": [1], "selector": {"env": "prod"}, "other": {"env": "other"}}


@dataclass
class Kept:
    """A sink that keeps everything in memory."""

    rows: list[RequestRow] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    events: list[Mapping[str, object]] = field(default_factory=list)

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None:
        self.metrics.add(metric)

    def requests(self, rows: Sequence[RequestRow]) -> None:
        self.rows.extend(rows)

    def propagation(self, rows: Sequence[PropagationRow]) -> None:
        raise AssertionError("the load generator sees no propagation")

    def event(self, type_: str, /, **fields: object) -> None:
        self.events.append({"type": type_, **fields})


@dataclass
class Run:
    """What came of one plan: ends of its phases by name, the sink, and the objects found in the API afterwards."""

    run_id: str
    namespace: str
    ended: dict[str, dict[str, Any]]
    sink: Kept
    objects: dict[str, list[dict[str, Any]]]


def phase(run_id: str, kind: Kind, count: int, params: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """A create phase as the scenario's plan has it."""
    tail = run_id[-5:]
    return {
        "name": f"create-{kind.alias}",
        "action": "create",
        "kind": kind.alias,
        "api_version": kind.api_version,
        "object_kind": kind.kind,
        "path": kind.path(f"run-{run_id}"),
        "namespaced": kind.namespaced,
        "count": count,
        "rate": None,
        "concurrency": 16,
        "timeout_s": 60,
        "names": f"{kind.kind.lower()}-{tail}-{{i:05d}}",
        "params": params,
    } | changes


async def carry_out(cluster: EmbeddedCluster, directory: Path, phases: Sequence[dict[str, Any]], run_id: str) -> Run:
    """Run all phases in order, then read back what exists."""
    files = client_files(cluster.kubeconfig)
    sink = Kept()
    async with await Api.connect(cluster.kubeconfig) as api:
        namespace = await prepare(api, run_id)
        plan = {
            "schema": "harness.plan/v1",
            "run_id": run_id,
            "seed": 7,
            "origin_ns": RunClock().origin_ns,
            "server": files.server,
            "ca_file": str(files.ca_file),
            "cert_file": str(files.cert_file),
            "key_file": str(files.key_file),
            "namespace": namespace,
            "labels": {RUN_LABEL: run_id},
            "phases": list(phases),
        }
        generator = await LoadGenerator.start(plan, run_dir=directory, sink=sink, on_rows=lambda _rows: None)
        try:
            ended = {item["name"]: await generator.run_phase(item["name"], item["timeout_s"]) for item in phases}
        finally:
            await generator.stop()
        kinds = {find(item["kind"]) for item in phases}
        selector = f"{RUN_LABEL}={run_id}"
        objects = {kind.alias: list((await api.list(kind, label_selector=selector)).items) for kind in kinds}
    assert (directory / "loadgen.log").read_text() == ""
    return Run(run_id, namespace, ended, sink, objects)


def test_every_kind_is_created_and_clusters_are_flipped(
    embedded: EmbeddedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Environments with a proxy's CA set these; they must not decide whom the load generator trusts.
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(variable, str(tmp_path / "absent.pem"))
    run_id = new_run_id()
    cluster = find("Cluster.management.cattle.io")
    flip = {"name": "flip", "action": "flip", "rate": 100.0}
    run = asyncio.run(
        carry_out(
            embedded,
            tmp_path,
            [
                phase(run_id, find("Secret"), 200, {"size": [2048, 5120]}),
                phase(run_id, cluster, 5, {"labels": {"env": "other"}}),
                phase(run_id, find("Cluster.fleet.cattle.io"), 4, {}),
                phase(run_id, find("GitRepo"), 3, {"bundles": 10, **SELECTION}),
                phase(run_id, find("Bundle"), 3, {"size": [600, 700], **SELECTION}),
                phase(run_id, find("InferenceService"), 2, {}),
                phase(run_id, cluster, 3, {"labels": {"env": "prod"}}, **flip),
            ],
            run_id,
        )
    )
    assert {name: (end["done"], end["failed"]) for name, end in run.ended.items()} == {
        "create-Secret": (200, 0),
        "create-Cluster.management.cattle.io": (5, 0),
        "create-Cluster.fleet.cattle.io": (4, 0),
        "create-GitRepo": (3, 0),
        "create-Bundle": (3, 0),
        "create-InferenceService": (2, 0),
        "flip": (3, 0),
    }
    assert {alias: len(objects) for alias, objects in run.objects.items()} == {
        "Secret": 200,
        "Cluster.management.cattle.io": 5,
        "Cluster.fleet.cattle.io": 4,
        "GitRepo": 3,
        "Bundle": 3,
        "InferenceService": 2,
    }
    payloads = [base64.b64decode(secret["data"]["payload"]) for secret in run.objects["Secret"]]
    assert all(2048 <= len(payload) <= 5120 for payload in payloads)
    assert len(set(payloads)) == 200
    flipped = sorted(item["metadata"]["labels"]["env"] for item in run.objects["Cluster.management.cattle.io"])
    assert flipped == ["other"] * 2 + ["prod"] * 3
    repo = next(item for item in run.objects["GitRepo"] if item["metadata"]["name"].endswith("-00001"))
    assert repo["spec"]["targets"][0]["clusterSelector"]["matchLabels"] == {"env": "prod"}
    assert len(repo["spec"]["paths"]) == 10
    assert len(run.sink.rows) == 220
    assert {row.error for row in run.sink.rows} == {None}
    assert run.sink.metrics == {"load.cpu", "load.rss", "load.loop_lag"}


def test_a_fixed_rate_is_kept_and_failures_are_in_the_words_of_the_api(
    embedded: EmbeddedCluster, tmp_path: Path
) -> None:
    run_id = new_run_id()
    secret = find("Secret")
    run = asyncio.run(
        carry_out(
            embedded,
            tmp_path,
            [
                phase(run_id, secret, 100, {"size": 100}, rate=100.0),
                phase(run_id, secret, 3, {"size": 100}, name="again"),
                phase(run_id, secret, 1, {"size": 2_000_000}, name="large", names="large-{i}"),
            ],
            run_id,
        )
    )
    steady = run.ended["create-Secret"]
    assert (steady["done"], steady["requested_per_s"]) == (100, 100.0)
    rows = [row for row in run.sink.rows if row.phase == "create-Secret"]
    # Rows come in the order of their answers; what was intended is exact.
    assert sorted(row.intended_ns - steady["started_ns"] for row in rows) == [i * 10_000_000 for i in range(100)]
    assert all(row.sent_ns >= row.intended_ns for row in rows)
    assert (run.ended["again"]["failed"], run.ended["large"]["failed"]) == (3, 1)
    told = [str(event["message"]) for event in run.sink.events]
    assert told[0].startswith("load: again: secret-")
    assert told[0].endswith("already exists")
    assert told[1].startswith("load: large: large-0: ")
    assert told[1].endswith(
        '422 Invalid: Secret "large-0" is invalid: data: Too long: may not be more than 1048576 bytes'
    )
