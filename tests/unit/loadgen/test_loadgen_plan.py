"""The plan is checked whole before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadgen.actions import action_of
from loadgen.fields import PlanError
from loadgen.plan import load, parse
from tests.unit.loadgen.loadgen_plans import SELECTION, phase, plan


def check(document: object) -> None:
    """Everything that `python -m loadgen` checks before it is ready."""
    parsed = parse(document)
    for item in parsed.phases.values():
        action_of(parsed, item)


def test_phases_are_read_in_order_and_know_their_names() -> None:
    parsed = parse(plan(phase("b", rate=200), phase("a")))
    assert list(parsed.phases) == ["b", "a"]
    assert parsed.phases["b"].rate == 200.0
    assert parsed.phases["a"].rate is None
    assert parsed.phases["b"].object_name(42) == "b-k4x7q-00042"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "plan: must be an object, not a list"),
        (plan(schema="harness.plan/v2"), "plan.schema: must be 'harness.plan/v1', is 'harness.plan/v2'"),
        (plan(sede=1), "plan: unknown key 'sede'"),
        (plan(seed=1.5), "plan.seed: must be a whole number, not a number"),
        (plan(server="127.0.0.1:6443"), "plan.server: must be a URL"),
        (plan(server="https://127.0.0.1:x"), "plan.server: must be a URL"),
        (plan(server="https://127.0.0.1:6443"), "plan.ca_file: is missing"),
        (plan(cert_file="a"), "plan.cert_file: goes together with key_file"),
        (plan(labels={"a": 1}), "plan.labels: must map strings to strings"),
        (plan(request_timeout_s=0), "plan.request_timeout_s: must be above 0, is 0"),
        (plan(phase("a"), phase("a")), "plan.phases: must have distinct names"),
        (plan({"name": "a"}), "plan.phases[0].rate: is missing"),
        (plan(phase(rate=0)), "plan.phases[0].rate: must be above 0, is 0"),
        (plan(phase(rate=True)), "plan.phases[0].rate: must be a number, not a boolean"),
        (plan(phase(rate=float("inf"))), "plan.phases[0].rate: must be above 0, is inf"),
        (plan(phase(count=-1)), "plan.phases[0].count: must be at least 0, is -1"),
        (plan(phase(concurrency=0)), "plan.phases[0].concurrency: must be at least 1, is 0"),
        (plan(phase(names="same")), "plan.phases[0].names: gives every object the same name"),
        (plan(phase(names="x-{j}")), "plan.phases[0].names: is not a format of `i`"),
        (plan(phase(names="x-{i.real.bad}")), "plan.phases[0].names: is not a format of `i`"),
        (plan(phase(path="api/v1")), "plan.phases[0].path: must begin with a slash"),
        (plan(phase(namespaced="yes")), "plan.phases[0].namespaced: must be true or false, not a string"),
        (
            plan(phase(action="shake")),
            "plan.phases[0].action: unknown 'shake'; known are churn, create, delete, flip, list, patch, read, watch",
        ),
        (plan(phase(kind="Pod")), "plan.phases[0].kind: cannot create 'Pod'; known are Bundle, Cluster.fleet"),
        (plan(phase(params={})), "plan.phases[0].params.size: is missing"),
        (plan(phase(params={"size": [5, 4]})), "plan.phases[0].params.size: must be [min, max]"),
        (plan(phase(params={"size": "2k"})), "plan.phases[0].params.size: must be a number of bytes or [min, max]"),
        (plan(phase(params={"size": 1, "sise": 2})), "plan.phases[0].params: unknown key 'sise'"),
        (plan(phase(action="flip", params={})), "plan.phases[0].params.labels: is missing"),
        (plan(phase(action="flip", params={"labels": {}})), "plan.phases[0].params.labels: must not be empty"),
        (plan(phase(kind="GitRepo", params={**SELECTION, "bundles": 0})), "params.bundles: must be at least 1, is 0"),
        (
            plan(phase(kind="GitRepo", params={**SELECTION, "bundles": 1, "matching": [3]})),
            "distinct indexes from 0 to 2",
        ),
    ],
)
def test_a_wrong_plan_is_one_line_that_names_the_field(document: object, message: str) -> None:
    with pytest.raises(PlanError) as caught:
        check(document)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_of_a_file_begin_with_its_path(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    with pytest.raises(PlanError, match=r"plan\.json: cannot be read: No such file"):
        load(path)
    path.write_text("{")
    with pytest.raises(PlanError, match=r"plan\.json: is not JSON"):
        load(path)
    path.write_text(json.dumps(plan(seed="7")))
    with pytest.raises(PlanError, match=r"plan\.json: plan\.seed: must be a whole number, not a string"):
        load(path)
