"""Own kinds as a user has them: the worked example of docs/scenarios.md, with a controller, on a real control plane."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.process import leftovers
from harness.record.reader import RunRecord

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
    from loadgen.builders import builder_of
    from loadgen.plan import load

    plan = load(record / "plan.json")
    build = builder_of(plan, plan.phases[phase])
    objects = [build(index) for index in range(plan.phases[phase].count)]
    return [{"labels": item["metadata"]["labels"] | {"harness.dev/run": ""}, **item["spec"]} for item in objects]


def test_the_worked_example_passes(example: Path) -> None:
    code, said, shown = _run(example)
    assert (code, shown["verdict"]) == (0, "passed"), said
    results = shown["results"]
    for probe in ("ready", "done", "config", "labelled", "finished"):
        assert results[f"latency.{probe}.max"]["value"] is not None, probe
    assert results["completeness.Widget.example.com"]["value"] == 1
    assert results["completeness.Task.example.com"]["value"] == 1
    # 20 ConfigMaps and 20 statuses, 5 deletions: the audit log shows the group of the own kinds
    assert results["writes.total"]["value"] == 45
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


def test_objects_that_do_not_stay_make_the_run_invalid(example: Path) -> None:
    code, _, shown = _run(example, controller="--spoil")
    assert (code, shown["verdict"]) == (3, "invalid")
    assert "incomplete: 0 of 20 Widget.example.com exist" in shown["reasons"]


def test_what_the_api_server_refuses_makes_the_run_invalid_in_its_words(example: Path) -> None:
    _change(example, "size: 3}", "size: 0}")
    code, _, shown = _run(example)
    assert (code, shown["verdict"]) == (3, "invalid")
    tail = shown["run_id"][-5:]
    assert shown["reasons"][0].startswith(
        f"load phase create-Widget.example.com made 0 of 20 requests succeed; widget-{tail}-00000: 422 Invalid: "
        f'Widget.example.com "widget-{tail}-00000" is invalid: spec.size'
    )


def test_a_setup_that_is_refused_makes_the_run_invalid(example: Path) -> None:
    (example.parent / "rbac.yaml").write_text("apiVersion: none.example.com/v1\nkind: Gadget\nmetadata: {name: mine}\n")
    code, _, shown = _run(example)
    assert (code, shown["verdict"]) == (3, "invalid")
    assert len(shown["reasons"]) == 1
    assert shown["reasons"][0].startswith("setup: Gadget mine: the API server answered 404 NotFound: the server has no such kind")
