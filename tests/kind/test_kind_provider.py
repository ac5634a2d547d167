"""Provider `kind` as a user has it: made for a run and gone after it, reused by name and left as it was."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness.cluster import kind_owned
from harness.core.errors import EnvironmentFault
from harness.core.ids import RUN_LABEL
from harness.kube import every
from harness.kube.api import Api
from harness.process import leftovers
from tests.held import until_there
from tests.kind.clusters import Running, containers, docker, harness, shown, until
from tests.kind.conftest import Kept

LOAD = """
name: small
summary: A few Secrets, slowly.
params: {secrets: 40, rate: 20/s}
subject: {controller: fleet, options: {workers: 5}}
load:
  - create: {kind: Secret, count: "{secrets}", size: 1KB, rate: "{rate}"}
  - settle: {quiet_for: 1s, timeout: 1m}
expect: [completeness.Secret == 1]
"""
HELD = """
name: held
summary: A few Secrets at once, and a wait until the test has looked at the cluster.
subject: {{controller: fleet, options: {{workers: 5}}}}
load:
  - create: {{kind: Secret, count: 40, size: 1KB, rate: max}}
  - {held}
  - settle: {{quiet_for: 1s, timeout: 1m}}
expect: [completeness.Secret == 1]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(LOAD)
    return path


def everything_of_runs(kept: Kept) -> list[str]:
    async def ask() -> list[str]:
        async with await Api.connect(kept.kubeconfig) as api:
            found = await every.labelled(api, RUN_LABEL)
            assert found.unseen == []
            assert len(found.kinds) > 40
            return [item.name for item in found.objects]

    return asyncio.run(ask())


def definitions(kept: Kept) -> str:
    return docker("exec", f"{kept.name}-control-plane", "kubectl", "get", "crd,ns,clusterrole", "-o", "name")


def test_smoke_in_pods_in_a_reused_cluster(kept: Kept, tmp_path: Path) -> None:
    (row,) = json.loads(harness("cluster", "status", "--json").stdout)
    assert (row["alive"], row["provider"], row["kubeconfig"]) == (True, "kind", str(kept.kubeconfig))
    before = definitions(kept)
    nodes = containers(kept.name)
    done = harness(
        *("run", "smoke", "--profile", "quick", "--arm", "pass", "--json", "--out", str(tmp_path)),
        *("--cluster", "kind", "--kind-name", kept.name, "--set", "flip_rate=max"),
    )
    run = shown(done)
    assert run["verdict"] == "passed", run["reasons"]
    assert run["cluster"]["reused"] is True
    results = run["results"]
    for name in ("writes.total", "writes.conflict", "startup.first_object", "apiserver.cpu", "apiserver.rss.peak"):
        assert results[name]["value"] is not None, results[name]
    assert results["writes.total"]["value"] > 0
    assert results["completeness.BundleDeployment"]["value"] == 1
    assert run["subject"]["kind"] == "pod"
    assert run["subject"]["user"] == f"system:serviceaccount:run-{run['run_id']}-subject:subject"
    assert run["subject"]["pod"]["node"] == f"{kept.name}-control-plane"
    assert run["subject"]["pod"]["cgroup_seen"] is True
    for name in ("memory.cgroup.peak", "memory.rss.settled", "tasks.settled", "memory.heap.settled", "oom.kills"):
        assert results[name]["value"] is not None, results[name]
    assert results["memory.working_set.peak"]["value"] > 20e6
    assert results["restarts"]["value"] == 0
    assert [w for w in run["warnings"] if "still there" in w or "left" in w] == []
    assert everything_of_runs(kept) == []
    assert definitions(kept) == before
    assert containers(kept.name) == nodes, "a reused cluster is never deleted"


def test_a_run_makes_two_nodes_and_takes_them_away_and_nothing_else(kept: Kept, tmp_path: Path) -> None:
    scenario, looked = tmp_path / "held.yaml", tmp_path / "looked"
    scenario.write_text(HELD.format(held=json.dumps(until_there(looked))))
    with Running(
        tmp_path / "runs", str(scenario), "--cluster", "kind", "--kind-config", "control-plane-and-workers"
    ) as run:
        run.until_phase("hook")
        name = run.run["cluster"]["name"]
        assert containers(name) == [f"{name}-control-plane", f"{name}-worker"]
        owned = kind_owned.load(name)
        assert owned is not None
        looked.touch()
        assert run.process.wait(240) == 0, run.output
        assert run.run["cluster"]["nodes"] == [f"{name}-control-plane", f"{name}-worker"]
        assert run.run["cluster"]["version"].startswith("v1.")
        assert run.run["subject"]["pod"]["node"] == f"{name}-worker"
        assert run.run["subject"]["pod"]["cgroup_seen"] is True
        assert {each["name"]: each["state"] for each in run.run["collectors"]}["tasks"] == "on"
    assert containers(name) == []
    assert kind_owned.load(name) is None
    assert not Path(owned.directory).exists()
    assert containers(kept.name) != [], "another cluster was there, and still is"


def test_a_node_that_restarts_ends_the_run_with_the_reason(scenario: Path, tmp_path: Path) -> None:
    arguments = (str(scenario), "--set", "secrets=4000", "--cluster", "kind", "--subject-as", "process")
    with Running(tmp_path / "runs", *arguments) as run:
        run.until_phase("create-Secret")
        (node,) = run.run["cluster"]["nodes"]
        docker("restart", "--time", "1", node)
        assert run.process.wait(120) == 3, run.output
        outcome = run.run["outcome"]
        verdict = json.loads((run.record / "verdict.json").read_text())
    assert outcome["state"] == "error"
    what = f"(the node container|kube-apiserver on) {node} ended or was restarted"  # whichever was seen first
    assert re.search(f"the cluster broke down: {what}", outcome["message"]), outcome
    assert verdict["verdict"] == "error"
    assert containers(run.run["cluster"]["name"]) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_cluster_goes_with_its_run_however_that_ends(scenario: Path, tmp_path: Path, number: signal.Signals) -> None:
    with Running(tmp_path / "runs", str(scenario), "--cluster", "kind") as run:
        name = f"hns-{run.record.name}"
        until("the node container", lambda: containers(name))
        run.process.send_signal(number)
        assert run.process.wait(120) == (130 if number == signal.SIGINT else -signal.SIGKILL)
    if number == signal.SIGINT:
        assert containers(name) == []
    until("the deletion", lambda: not containers(name) and kind_owned.load(name) is None, 60)


def test_clean_deletes_what_a_crash_of_everything_left(scenario: Path, tmp_path: Path) -> None:
    with Running(tmp_path / "runs", str(scenario), "--cluster", "kind") as run:
        name = f"hns-{run.record.name}"
        until("the node container", lambda: containers(name))
        assert f"kind cluster {name}" not in harness("clean", "--dry-run").stdout, "the run lives"
        will = [one for one in psutil.Process(run.process.pid).children() if "harness-last-will" in one.cmdline()]
        assert len(will) == 1
        will[0].kill()
        run.process.kill()
        run.process.wait(60)
    until("the end of its children", lambda: not leftovers(run.record.name), 60)
    assert containers(name) == [f"{name}-control-plane"]
    said = harness("clean")
    assert f"kind cluster {name} of run {run.record.name}" in said.stdout, said.stderr
    assert said.returncode == 0, said.stderr
    assert containers(name) == []


@pytest.fixture
def impostor(tmp_path: Path) -> Iterator[str]:
    """A container that calls itself the node of a cluster that we say is ours."""
    name = "hns-20260101-000000-other"
    owner = None
    kind_owned.begin(name, "20260101-000000-other", tmp_path / "ours", owner)
    image = docker("inspect", "--format", "{{.Config.Image}}", docker("ps", "--quiet").split()[0])
    docker(
        *("create", "--name", f"{name}-control-plane", "--label", f"io.x-k8s.kind.cluster={name}"),
        *("--label", "io.x-k8s.kind.role=control-plane", image),
    )
    yield name
    docker("rm", "--force", f"{name}-control-plane")


def test_a_cluster_of_that_name_that_is_somebody_elses_is_left_alone(kept: Kept, impostor: str) -> None:
    owned = kind_owned.load(impostor)
    assert owned is not None
    with pytest.raises(EnvironmentFault, match="is not the one that the harness made: it was left alone"):
        kind_owned.delete(owned)
    assert containers(impostor) == [f"{impostor}-control-plane"]


def test_an_image_that_cannot_be_had_is_one_line(scenario: Path, tmp_path: Path) -> None:
    image = "localhost:1/nobody/has:this"
    done = harness("run", str(scenario), "--cluster", "kind", "--kind-image", image, "--out", str(tmp_path))
    assert done.returncode == 4, done.stderr
    run = json.loads(next(tmp_path.glob("2*/run.json")).read_text())
    assert f"{image}: the node image is not on this machine and cannot be pulled" in run["outcome"]["message"]
    assert "--kind-image or KIND_NODE_IMAGE, or use --cluster embedded" in run["outcome"]["message"]
    assert containers(f"hns-{run['run_id']}") == []


QUOTA = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: few}
spec: {hard: {count/secrets: "25"}}
"""


def test_a_quota_is_respected_and_told_in_one_line(kept: Kept, tmp_path: Path) -> None:
    """As a guest of a cluster that the user names; the quota is the cluster's, and 40 Secrets do not fit."""
    (tmp_path / "quota.yaml").write_text(QUOTA)
    scenario = tmp_path / "quota-scenario.yaml"
    # before the cluster has counted what there is, a quota refuses everything
    counted = (
        f"for _ in $(seq 300); do docker exec {kept.name}-control-plane kubectl get quota few -n run-$HARNESS_RUN_ID "
        "-o jsonpath='{.status.used}' | grep -q secrets && exit 0; sleep 0.2; done; exit 1"
    )
    hook = f"setup: {{apply: [quota.yaml]}}\nload:\n  - hook: {{command: {json.dumps(['sh', '-c', counted])}}}\n"
    scenario.write_text(LOAD.replace("load:\n", hook))
    named = ("--cluster", "kubeconfig", "--context", kept.context, "--kubeconfig", str(kept.kubeconfig))
    done = harness("run", str(scenario), *named, "--json", "--out", str(tmp_path / "runs"))
    run = shown(done)
    assert run["cluster"]["provider"] == "kubeconfig"
    assert run["results"]["load.failures"]["value"] == 15
    (told,) = [reason for reason in run["reasons"] if "exceeded quota: few" in reason]
    assert told.startswith("load phase create-Secret made 25 of 40 requests succeed; ")
    assert "\n" not in told
    assert len([line for line in run["warnings"] if "exceeded quota" in line]) <= 1, "not once for each object"
    assert everything_of_runs(kept) == []
