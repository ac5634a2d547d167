"""Objects from templates: what they see, what is theirs and what the harness's, and every way in which one can be wrong."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from loadgen.actions import action_of
from loadgen.fields import PlanError
from loadgen.plan import parse
from loadgen.templates import TemplateFault
from tests.unit.loadgen.loadgen_plans import NAMESPACE, RUN, phase, plan

TEMPLATE = """\
apiVersion: example.com/v1
kind: Widget
metadata:
  name: mine
  generateName: mine-
  labels: {tier: "{{ 'gold' if i % 2 == 0 else 'basic' }}", harness.dev/run: stolen}
spec:
  at: {{ namespace }}/{{ run_id }}/{{ tail }}
  size: {{ params.size }}
  day: 2026-01-02
  seal: {{ rand_bytes(16) | b64 }}
  text: {{ b64("é") }}
"""


def _bodies(text: str = TEMPLATE, *, count: int = 3, seed: int = 7, **changes: Any) -> list[dict[str, Any]]:
    given: dict[str, Any] = {
        "name": "create-Widget.example.com",
        "kind": "Widget.example.com",
        "api_version": "example.com/v1",
        "object_kind": "Widget",
        "path": f"/apis/example.com/v1/namespaces/{NAMESPACE}/widgets",
        "names": "widget-k4x7q-{i:05d}",
        "count": count,
        "params": {"template": {"name": "w.yaml", "text": text, "params": {"size": 3}}, "labels": {"own": "1"}},
    }
    read = parse(plan(phase(**(given | changes)), seed=seed))
    action = action_of(read, next(iter(read.phases.values())))
    return [json.loads(action(index).body) for index in range(count)]


def test_a_template_sees_its_run_and_the_harness_completes_it() -> None:
    first, second, _ = _bodies()
    assert first["metadata"] == {
        "name": "widget-k4x7q-00000",
        "namespace": NAMESPACE,
        "labels": {"tier": "gold", "own": "1", "harness.dev/run": RUN},
    }
    assert second["metadata"]["labels"]["tier"] == "basic"
    seal = first["spec"].pop("seal")
    assert len(base64.b64decode(seal)) == 16
    at = f"{NAMESPACE}/{RUN}/k4x7q"
    assert first["spec"] == {"at": at, "size": 3, "day": "2026-01-02", "text": "w6k="}


def test_the_same_seed_gives_the_same_objects() -> None:
    assert _bodies() == _bodies()
    assert len({item["spec"]["seal"] for item in _bodies(count=20)}) == 20
    assert _bodies(seed=8)[0]["spec"]["seal"] != _bodies()[0]["spec"]["seal"]
    assert _bodies(name="create-Widget.example.com-2")[0]["spec"]["seal"] != _bodies()[0]["spec"]["seal"]


def test_a_cluster_scoped_object_gets_no_namespace() -> None:
    assert "namespace" not in _bodies(namespaced=False)[0]["metadata"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("params.size", "params.sise", "w.yaml:9: 'dict object' has no attribute 'sise' (i=0)"),
        ("params.size", "nothing", "w.yaml:9: 'nothing' is undefined (i=0)"),
        ("params.size", "1 // i", "w.yaml:9: integer division or modulo by zero (i=0)"),
        ("params.size", "''.__class__", "w.yaml:9: access to attribute '__class__' of 'str' object is unsafe. (i=0)"),
        ("params.size", "[1, 2] | random", None),
        ("params.size", "lipsum()", "w.yaml:9: 'lipsum' is undefined (i=0)"),
        ("params.size", "rand_bytes(-1)", "w.yaml:9: rand_bytes takes a number from 0 to 1048576, not -1 (i=0)"),
        ("rand_bytes(16) | b64", "rand_bytes(16)",
         "w.yaml:11: bytes cannot stand in YAML; write them as {{ rand_bytes(16) | b64 }} (i=0)"),
        ("{{ params.size }}", "[1", "w.yaml:10: not valid YAML: did not find expected ',' or ']' (i=0)"),
        ("{{ params.size }}", "!!binary aGk=",
         "w.yaml:1: renders to something that JSON does not have: Object of type bytes is not JSON serializable"),
        ("{{ params.size }}", ".nan",
         "w.yaml:1: renders to something that JSON does not have: Out of range float values are not JSON compliant"),
        ("kind: Widget", "kind: Gadget",
         "w.yaml:1: renders to Gadget of example.com/v1 with i=0, and to Widget of example.com/v1 with i=0"),
        ("kind: Widget", "kind: 3", "w.yaml:2: the object has no kind"),
        ("  name: mine", "  namespace: other",
         "w.yaml:1: namespace 'other' is not the run's; leave it out, or write {{ namespace }} (i=0)"),
        ("labels: {tier:", "labels: {a: 1, tier:",
         "w.yaml:6: metadata.labels must map text to text; put numbers and booleans in quotes"),
        ("spec:", "---\na: 1\n---", "w.yaml:1: must render to one object, renders to 3 documents with i=0"),
    ],
)  # fmt: skip
def test_an_object_that_cannot_be_made_is_one_line(old: str, new: str, message: str | None) -> None:
    assert old in TEMPLATE
    text = TEMPLATE.replace(old, new, 1)
    with pytest.raises((TemplateFault, PlanError)) as caught:
        _bodies(text)
    assert "\n" not in str(caught.value)
    if message is not None:
        assert str(caught.value).startswith(message)


def test_a_template_that_is_none_is_a_wrong_plan() -> None:
    with pytest.raises(PlanError, match=r"phases\[0\]\.params\.template: w\.yaml:9: unexpected"):
        _bodies(TEMPLATE.replace("params.size", "params.size )"))
    with pytest.raises(PlanError, match=r"w\.yaml:1: its expressions or blocks are nested too deep"):
        _bodies(TEMPLATE.replace("params.size", "{" * 200))  # found by `make fuzz`
    with pytest.raises(PlanError, match="unknown key 'size'"):
        _bodies(params={"template": {"name": "a", "text": "b"}, "size": 3})
