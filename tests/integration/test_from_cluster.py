"""`harness scenarios from-cluster` as a user runs it, against a real API server."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.setup import prepare
from harness.core.ids import namespace_of
from harness.core.kinds import find
from harness.kube.api import Api
from harness.scenario.load import load
from harness.scenario.model import Create
from harness.scenario.resolve import resolve

pytestmark = pytest.mark.cluster

RUN_ID = "20260101-000000-invnt"
NAMESPACE = namespace_of(RUN_ID)
MARK = "never-to-be-written"


async def fill(kubeconfig: Path) -> None:
    async with await Api.connect(kubeconfig) as api:
        await prepare(api, RUN_ID)
        # cluster-scoped, so those that other tests left behind would be counted too
        await api.delete_collection(find("Cluster.management.cattle.io"))
        for number, size in enumerate([100] * 45 + [40_000] * 5):
            payload = (MARK * 4000)[:size].encode()
            await api.create(
                find("Secret"),
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "metadata": {"name": f"{MARK}-{number}", "labels": {"team": MARK}},
                    "data": {"key": base64.b64encode(payload).decode()},
                },
                NAMESPACE,
            )
        cluster = find("Cluster.fleet.cattle.io")
        body = {"apiVersion": cluster.api_version, "kind": cluster.kind, "metadata": {"name": "c"}, "spec": {}}
        await api.create(cluster, body, NAMESPACE)


@pytest.fixture(scope="module")
def filled(embedded: EmbeddedCluster) -> Iterator[EmbeddedCluster]:
    asyncio.run(fill(embedded.kubeconfig))
    yield embedded

    async def empty() -> None:
        async with await Api.connect(embedded.kubeconfig) as api:
            await api.delete(find("Namespace"), NAMESPACE)

    asyncio.run(empty())


def harness(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness.cli.main", "scenarios", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_it_writes_a_scenario_of_equal_load(filled: EmbeddedCluster, tmp_path: Path) -> None:
    target = tmp_path / "mine.yaml"
    done = harness(
        "from-cluster", "--context", "tests", "--kubeconfig", str(filled.kubeconfig), "--namespace", NAMESPACE, "-o",
        str(target),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    steps = [step for step in resolve(load(target)).load if isinstance(step, Create)]
    secrets = [step for step in steps if step.kind == "Secret"]
    assert sum(step.count for step in secrets) == 50
    sizes = [step.count * sum(step.size) / 2 for step in secrets if isinstance(step.size, tuple)]
    assert sum(sizes) == 45 * 100 + 5 * 40_000
    assert all(len(step.labels) == 1 for step in secrets)
    assert [step.count for step in steps if step.kind == "Cluster.fleet.cattle.io"] == [1]
    text = target.read_text()
    assert "team (50)" in text
    assert MARK not in text
    assert MARK not in done.stdout + done.stderr
    again = harness("from-cluster", "--context", "tests", "--kubeconfig", str(filled.kubeconfig), "-o", str(target))
    assert (again.returncode, again.stderr) == (
        2,
        f"harness: {target}: it exists already; remove it, or name another file\n",
    )


def variant(source: Path, directory: Path, **changes: str) -> Path:
    document = yaml.safe_load(source.read_text())
    document["clusters"][0]["cluster"]["server"] = changes.get("server", document["clusters"][0]["cluster"]["server"])
    document["contexts"][0]["name"] = changes.get("context", document["contexts"][0]["name"])
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def test_production_is_refused_unless_told_otherwise(filled: EmbeddedCluster, tmp_path: Path) -> None:
    path = str(variant(filled.kubeconfig, tmp_path, context="eu-prod"))
    refused = harness("from-cluster", "--context", "eu-prod", "--kubeconfig", path)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert "looks like production" in refused.stderr
    read = harness(
        "from-cluster", "--context", "eu-prod", "--kubeconfig", path, "--i-know-what-i-am-doing", "-n", NAMESPACE
    )
    assert read.returncode == 0, read.stderr
    assert yaml.safe_load(read.stdout)["name"] == "from-cluster"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "--context"),
        (["--context", "tests", "-n", "no-such"], 4, 'namespaces "no-such" not found'),
    ],
)
def test_bad_input_is_one_line(filled: EmbeddedCluster, arguments: list[str], code: int, says: str) -> None:
    done = harness("from-cluster", "--kubeconfig", str(filled.kubeconfig), *arguments)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()[-1:]) == 1
    assert "Traceback" not in done.stderr


def test_a_dead_server_is_one_line(filled: EmbeddedCluster, tmp_path: Path) -> None:
    path = variant(filled.kubeconfig, tmp_path, server="https://127.0.0.1:1")
    done = harness("from-cluster", "--context", "tests", "--kubeconfig", str(path))
    assert done.returncode == 4
    assert "cannot be reached" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_the_list_of_scenarios_is_as_it_was() -> None:
    done = harness()
    assert done.returncode == 0
    assert "\nlabel-flip\n" in done.stdout
    assert "smoke" in [item["name"] for item in yaml.safe_load(harness("--json").stdout)["scenarios"]]
