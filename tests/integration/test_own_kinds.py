"""Own kinds as a user has them: the worked example of docs/scenarios.md, with a controller, on a real control plane."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.embedded import EmbeddedCluster
from harness.core.kinds import Kind, find
from harness.kube.api import Api
from harness.kube.discovery import CLUSTER_ROLE
from harness.kube.errors import ApiError
from harness.kube.manifests import apply_files
from harness.kube.rbac import grant, unbind
from harness.process import leftovers
from harness.record.reader import RunRecord
from loadgen.builders import builder_of
from loadgen.plan import load

pytestmark = pytest.mark.cluster

_HARNESS = [sys.executable, "-m", "harness.cli.main"]
_CONTROLLER = Path(__file__).with_name("widget_controller.py")
_DOCS = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example's files as a reader would write them down; returns the scenario."""
    for block in re.findall(r"```yaml\n(.*?)```", _DOCS, re.DOTALL):
        first = block.split("\n", 1)[0]
        name = first.removeprefix("# ") if first.startswith("# ") else None
        if name or first == "name: widgets":
            path = tmp_path / (name or "widgets.yaml")
            path.parent.mkdir(exist_ok=True)
            path.write_text(block)
    return tmp_path / "widgets.yaml"


def _change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def _run(scenario: Path, *options: str, controller: str = "") -> tuple[int, str, dict[str, Any]]:
    subject = f"{shlex.quote(sys.executable)} {shlex.quote(str(_CONTROLLER))} --kubeconfig {{kubeconfig}} {controller}"
    arguments = ["--profile", "quick", "--out", str(scenario.parent / "runs"), "--json", "--subject", subject]
    done = subprocess.run(
        [*_HARNESS, "run", str(scenario), *arguments, *options], capture_output=True, text=True, timeout=240
    )
    shown: dict[str, Any] = json.loads(done.stdout)
    assert leftovers(shown["run_id"]) == []
    return done.returncode, done.stderr, shown


def _objects(record: Path, phase: str) -> list[dict[str, Any]]:
    """What the plan of a record makes, without what is another in each run."""
    plan = load(record / "plan.json")
    build = builder_of(plan, plan.phases[phase])
    objects = [json.loads(build(index)) for index in range(plan.phases[phase].count)]
    return [{"labels": item["metadata"]["labels"] | {"harness.dev/run": ""}, **item["spec"]} for item in objects]


def test_rights_on_own_kinds_are_those_that_are_granted_and_no_more(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    asyncio.run(_rights(embedded, tmp_path))


async def _rights(embedded: EmbeddedCluster, tmp_path: Path) -> None:
    kind = Kind("rights.example.com", "v1", "Right", "rights", namespaced=True)
    names = {"kind": kind.kind, "listKind": "RightList", "plural": kind.plural, "singular": "right"}
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": kind.version, "served": True, "storage": True, "schema": schema}
    spec = {"group": kind.group, "scope": "Namespaced", "names": names, "versions": [version]}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    (tmp_path / "crd.json").write_text(json.dumps({**crd, "metadata": {"name": "rights.rights.example.com"}}))
    run_id = "20260101-000000-right"
    mine = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "mine"}}
    async with await Api.connect(embedded.kubeconfig) as admin:
        await apply_files(admin, [tmp_path / "crd.json"])
        await grant(admin, "maker", "loadgen", {kind: ("create",)}, run_id)
        await grant(admin, "nobody", "watcher", {}, run_id)
        async with await Api.connect(await embedded.identity("maker")) as maker:
            assert (await maker.create(kind, mine, "default"))["metadata"]["name"] == "mine"
            for refused in (maker.list(kind), maker.delete(kind, "mine", "default"), maker.list(find("Secret"))):
                with pytest.raises(ApiError, match="403 Forbidden"):
                    await refused
        role = f"harness-{run_id}-loadgen"
        assert (await admin.get(CLUSTER_ROLE, role))["metadata"]["name"] == role
        with pytest.raises(ApiError, match="404 NotFound"):
            await admin.get(CLUSTER_ROLE, f"harness-{run_id}-watcher")
        await unbind(admin, run_id)
        with pytest.raises(ApiError, match="404 NotFound"):
            await admin.get(CLUSTER_ROLE, role)


def test_the_worked_example_passes(example: Path) -> None:
    _change(example, "rate: 50/s", "rate: max")  # 20 in 0.4 s: a machine that is busy just then makes the run invalid
    code, said, shown = _run(example)
    assert (code, shown["verdict"]) == (0, "passed"), said
    results = shown["results"]
    for probe in ("ready", "done", "config", "labelled", "finished"):
        assert results[f"latency.{probe}.max"]["value"] is not None, probe
    assert results["completeness.Widget.example.com"]["value"] == 1
    assert results["completeness.Task.example.com"]["value"] == 1
    # 20 ConfigMaps and 20 statuses, 5 deletions: the audit log shows the group of the own kinds
    assert (results["writes.total"]["value"], results["writes.noop"]["value"]) == (45, 0)
    assert results["api.create.Widget.example.com.p99"]["value"] > 0

    record = RunRecord(Path(shown["path"]))
    writes = record.sql("SELECT DISTINCT labels->>'kind' FROM samples WHERE metric = 'writes.total' ORDER BY 1")
    assert writes == [("ConfigMap",), ("Task.example.com",), ("Widget.example.com",)]
    seen = record.sql("SELECT probe, count(*), count(seen_ns) FROM propagation GROUP BY 1 ORDER BY 1")
    assert seen == [
        ("config", 20, 20), ("done", 20, 20), ("finished", 5, 5), ("labelled", 20, 20), ("ready", 20, 20),
    ]  # fmt: skip
    plan = json.loads((record.path / "plan.json").read_text())
    assert plan["phases"][0]["params"]["template"]["text"] == (example.parent / "my-widget.yaml").read_text()
    resolved = json.loads((record.path / "run.json").read_text())["scenario"]["resolved"]
    assert sorted(resolved["setup_files"]) == ["crds/tasks.yaml", "crds/widgets.yaml", "rbac.yaml"]

    # The record alone tells what ran, without the files of the scenario.
    for file in example.parent.glob("*.yaml"):
        file.unlink()
    objects = _objects(record.path, "create-Widget.example.com")
    assert len({item["seal"] for item in objects}) == 20
    assert [item["labels"]["tier"] for item in objects[:2]] == ["gold", "basic"]
    again = subprocess.run(
        [*_HARNESS, "report", str(record.path), "--recompute"], capture_output=True, text=True, timeout=120
    )
    assert again.returncode == 0, again.stderr


def test_what_is_refused_or_does_not_stay_makes_the_run_invalid(example: Path) -> None:
    _change(example.parent / "my-widget.yaml", "{{ params.size }}", "{{ i % 2 }}")  # 0 is below the schema's minimum
    _change(example, ", size: 3}", "}")
    _change(example, "rate: 50/s", "rate: max")
    code, _, shown = _run(example, controller="--spoil")
    assert (code, shown["verdict"]) == (3, "invalid")
    tail = shown["run_id"][-5:]
    refused, incomplete = shown["reasons"]
    assert refused.startswith(
        f"load phase create-Widget.example.com made 10 of 20 requests succeed; widget-{tail}-00000: 422 Invalid: "
        f'Widget.example.com "widget-{tail}-00000" is invalid: spec.size'
    )
    assert incomplete == "incomplete: 0 of 20 Widget.example.com exist"


def test_a_setup_that_is_refused_makes_the_run_invalid(example: Path) -> None:
    (example.parent / "rbac.yaml").write_text("apiVersion: none.example.com/v1\nkind: Gadget\nmetadata: {name: mine}\n")
    code, _, shown = _run(example)
    assert (code, shown["verdict"]) == (3, "invalid")
    assert len(shown["reasons"]) == 1
    assert shown["reasons"][0].startswith(
        "setup: Gadget mine: the API server answered 404 NotFound: the server has no such kind"
    )
