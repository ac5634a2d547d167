"""The plan: what the load generator is told, and that it takes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.ids import namespace_of
from harness.scenario import fanout
from harness.scenario.load import load, shipped
from harness.scenario.model import Scenario
from harness.scenario.names import phases
from harness.scenario.plan import build_plan
from harness.scenario.resolve import resolve
from loadgen.plan import parse
from tests.unit.scenario.scenario_files import RUN_ID, scenario

MANAGEMENT = "Cluster.management.cattle.io"


def plan_of(made: Scenario) -> dict[str, object]:
    built = build_plan(
        made,
        run_id=RUN_ID,
        origin_ns=123,
        server="https://127.0.0.1:1234",
        ca_file=Path("ca.crt"),
        cert_file=Path("client.crt"),
        key_file=Path("client.key"),
        namespace=namespace_of(RUN_ID),
    )
    plain: dict[str, object] = json.loads(json.dumps(built))
    return plain


def test_a_plan_is_resolved_to_the_last_name() -> None:
    made = scenario(
        seed=7,
        load=[
            {"create": {"kind": "Secret", "count": 2000, "rate": "200/s"}},
            {"create": {"kind": MANAGEMENT, "count": 20, "labels": {"tier": "edge"}, "timeout": "1m"}},
            {"create": {"kind": "GitRepo", "count": 30, "bundles": 10, "matching": 1, "concurrency": 8}},
            {"settle": {}},
            {"flip": {"kind": MANAGEMENT, "count": 20, "labels": {"env": "prod"}, "rate": "60/min"}},
        ],
    )
    assert plan_of(made) == {
        "schema": "harness.plan/v1",
        "run_id": RUN_ID,
        "seed": 7,
        "origin_ns": 123,
        "server": "https://127.0.0.1:1234",
        "ca_file": "ca.crt",
        "cert_file": "client.crt",
        "key_file": "client.key",
        "token_file": None,
        "external": None,
        "namespace": f"run-{RUN_ID}",
        "labels": {"harness.dev/run": RUN_ID},
        "workers": 1,
        "phases": [
            {
                "name": "create-Secret",
                "action": "create",
                "kind": "Secret",
                "api_version": "v1",
                "object_kind": "Secret",
                "path": f"/api/v1/namespaces/run-{RUN_ID}/secrets",
                "namespaced": True,
                "count": 2000,
                "rate": 200.0,
                "concurrency": 64,
                "timeout_s": 600.0,
                "names": "secret-k4x7q-{i:05d}",
                "params": {"size": [2000, 5000]},
            },
            {
                "name": f"create-{MANAGEMENT}",
                "action": "create",
                "kind": MANAGEMENT,
                "api_version": "management.cattle.io/v3",
                "object_kind": "Cluster",
                "path": "/apis/management.cattle.io/v3/clusters",
                "namespaced": False,
                "count": 20,
                "rate": None,
                "concurrency": 64,
                "timeout_s": 60.0,
                "names": "cluster-k4x7q-{i:05d}",
                "params": {"labels": {"tier": "edge"}},
            },
            {
                "name": "create-GitRepo",
                "action": "create",
                "kind": "GitRepo",
                "api_version": "fleet.cattle.io/v1alpha1",
                "object_kind": "GitRepo",
                "path": f"/apis/fleet.cattle.io/v1alpha1/namespaces/run-{RUN_ID}/gitrepos",
                "namespaced": True,
                "count": 30,
                "rate": None,
                "concurrency": 8,
                "timeout_s": 600.0,
                "names": "repo-k4x7q-{i:05d}",
                "params": {"bundles": 10, "matching": [24], "selector": {"env": "prod"}, "other": {"env": "other"}},
            },
            {
                "name": "flip",
                "action": "flip",
                "kind": MANAGEMENT,
                "api_version": "management.cattle.io/v3",
                "object_kind": "Cluster",
                "path": "/apis/management.cattle.io/v3/clusters",
                "namespaced": False,
                "count": 20,
                "rate": 1.0,
                "concurrency": 64,
                "timeout_s": 600.0,
                "names": "cluster-k4x7q-{i:05d}",
                "params": {"labels": {"env": "prod"}},
            },
        ],
    }


def test_a_second_step_of_a_kind_makes_other_objects() -> None:
    made = scenario(load=[{"create": {"kind": "Secret", "count": 1}}, {"create": {"kind": "Secret", "count": 1}}])
    phases = plan_of(made)["phases"]
    assert isinstance(phases, list)
    assert [(phase["name"], phase["names"]) for phase in phases] == [
        ("create-Secret", "secret-k4x7q-{i:05d}"),
        ("create-Secret-2", "secret-k4x7q-s2-{i:05d}"),
    ]


def test_plan_and_targets_name_the_same_objects() -> None:
    made = resolve(load("smoke"), arm="pass")
    phases = {phase["name"]: phase for phase in plan_of(made)["phases"]}  # type: ignore[attr-defined]  # decoded JSON
    flipped = {phases["flip"]["names"].format(i=index) for index in range(phases["flip"]["count"])}
    matching = {phases["create-GitRepo"]["names"].format(i=i) for i in phases["create-GitRepo"]["params"]["matching"]}
    for probe in fanout.probes(made, RUN_ID):
        assert {target.cause_id for target in probe.targets} == flipped
        repos = {target.labels["fleet.cattle.io/bundle-name"].rpartition("-")[0] for target in probe.targets}
        assert repos == matching


@pytest.mark.parametrize("name", shipped())
def test_the_load_generator_takes_the_plan_of_every_shipped_scenario(name: str) -> None:
    file = load(name)
    for arm in [None, *file.arms]:
        made = resolve(file, arm=arm)
        taken = parse(plan_of(made))
        assert list(taken.phases) == [
            phase.name for phase in phases(made) if phase.step.action not in ("settle", "failover", "restart")
        ]
