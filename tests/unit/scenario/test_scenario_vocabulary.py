"""Steps that work on what is there: what they take, what must exist afterwards, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.core.ids import namespace_of
from harness.scenario import fanout
from harness.scenario.model import Scenario
from harness.scenario.names import groups, phases
from harness.scenario.plan import build_plan
from loadgen.actions import action_of
from loadgen.plan import Plan, parse
from tests.unit.scenario.scenario_files import RUN_ID, changed, error_of, scenario

SECRETS = {"create": {"kind": "Secret", "count": 100}}


def plan_of(made: Scenario) -> Plan:
    document = build_plan(
        made, run_id=RUN_ID, origin_ns=1, server="https://127.0.0.1:1", ca_file="a", cert_file="b", key_file="c",
        namespace=namespace_of(RUN_ID),
    )  # fmt: skip
    return parse(json.loads(json.dumps(document)))


def names_of(plan: Plan, phase: str) -> list[str]:
    item = plan.phases[phase]
    action = action_of(plan, item)
    return [action(index).name for index in range(item.count)]


def expected(*load: dict[str, Any]) -> dict[str, tuple[int, bool]]:
    return {item.kind.alias: (item.count, item.final) for item in fanout.expected(scenario(load=list(load)), RUN_ID)}


def test_two_deletes_take_different_objects_and_the_seed_decides_which() -> None:
    load = [SECRETS, SECRETS, {"delete": {"kind": "Secret", "count": 50}}, {"delete": {"kind": "Secret"}}]
    plan = plan_of(scenario(seed=1, load=load))
    first, rest = names_of(plan, "delete-Secret"), names_of(plan, "delete-Secret-2")
    assert (len(set(first)), len(set(rest))) == (50, 150)
    assert not set(first) & set(rest)
    assert first == names_of(plan_of(scenario(seed=1, load=load)), "delete-Secret")
    assert first != names_of(plan_of(scenario(seed=2, load=load)), "delete-Secret")


def test_what_must_exist_is_what_is_left() -> None:
    repos = {"create": {"kind": "GitRepo", "count": 10, "bundles": 3}}
    assert expected(SECRETS) == {"Secret": (100, False)}
    assert expected(SECRETS, {"delete": {"kind": "Secret", "count": 30}}) == {"Secret": (70, True)}
    assert expected(SECRETS, {"delete": {"kind": "Secret"}}) == {"Secret": (0, True)}
    assert expected(SECRETS, {"churn": {"kind": "Secret", "percentage": "10%"}}) == {"Secret": (100, True)}
    assert expected(repos, {"delete": {"kind": "GitRepo", "count": 4}}) == {"GitRepo": (6, True), "Bundle": (18, True)}
    searching = {
        "create": {**SECRETS["create"], "rate": {"step_until_failure": ["1/s", "9/s"], "by": "1/s", "each": "1s"}}
    }
    assert expected(searching) == {}


def test_a_churn_asks_for_its_share_in_each_cycle() -> None:
    plan = plan_of(
        scenario(load=[SECRETS, {"churn": {"kind": "Secret", "percentage": "7%", "cycles": 3, "delay": "2s"}}])
    )
    churn = plan.phases["churn-Secret"]
    assert (churn.count, churn.params["share"], churn.params["delay_s"]) == (42, 7, 2.0)


def test_secrets_are_spread_over_namespaces_and_found_there() -> None:
    made = scenario(load=[{"create": {"kind": "Secret", "count": 5, "namespaces": 2}}, {"list": {"kind": "Secret"}}])
    plan = plan_of(made)
    namespace = namespace_of(RUN_ID)
    assert [plan.phases["create-Secret"].collection(index) for index in range(3)] == [
        f"/api/v1/namespaces/{namespace}-n00{number}/secrets" for number in (0, 1, 0)
    ]
    assert plan.phases["list-Secret"].path == "/api/v1/secrets"
    assert fanout.expected(made, RUN_ID)[0].namespace is None


def test_parallel_steps_are_phases_of_one_group_that_see_what_was_there_before() -> None:
    made = scenario(
        load=[
            SECRETS,
            {"parallel": [SECRETS, {"read": {"kind": "Secret", "count": 5}}]},
            {"pause": "2s"},
            {"settle": {}},
        ]
    )
    assert [[phase.name for phase in group] for group in groups(made)] == [
        ["create-Secret"], ["create-Secret-2", "read-Secret"], ["pause-1"], ["settle-1"],
    ]  # fmt: skip
    decoded: Any = plan_of(made).phases["read-Secret"].params["objects"]
    (objects,) = decoded
    assert objects == {"phase": "create-Secret", "indexes": [[0, 100]]}
    assert phases(made)[2].path == ("load", 1, "parallel", 1)


def test_every_step_reads_back_from_a_record() -> None:
    rates: list[object] = [
        "max", "5/s", {"poisson": "5/s"}, {"ramp": ["1/s", "9/s"], "over": "3s"}, {"steps": ["1/s", "2/s"], "each": "1s"},
        {"burst": {"size": 3, "every": "1s"}}, {"step_until_failure": ["1/s", "9/s"], "by": "2/s", "each": "1s"},
    ]  # fmt: skip
    made = scenario(
        load=[
            {"create": {"kind": "Secret", "count": 9, "size": {"lognormal": {"median": "3KB", "sigma": 1}}}},
            {"create": {"kind": "Bundle", "count": 9, "size": {"pareto": {"min": "1KB", "alpha": 1.2}, "max": "9KB"}}},
            {"parallel": [{"read": {"kind": "Secret", "count": 9, "rate": rate}} for rate in rates]},
            {"patch": {"kind": "Secret", "labels": {"a": "b"}, "count": "all"}},
            {"churn": {"kind": "Secret", "percentage": "50%"}},
            {"watch": {"kind": "Secret", "watchers": 2}},
            {"delete": {"kind": "Secret", "count": 1}},
            {"pause": "2s"},
        ]
    )
    dumped = json.loads(json.dumps(made.model_dump(mode="json")))
    assert Scenario.model_validate(dumped) == made
    assert plan_of(made).phases["create-Bundle"].params["size"] == {
        "pareto": {"smallest": 1000, "alpha": 1.2}, "min": 512, "max": 9000,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("- delete: {kind: Secret}", ": no earlier step leaves any Secret; create it before the delete"),
        ("- delete: {kind: GitRepo}", "delete of GitRepo would make it unclear which Bundles must be deployed"),
        ("- delete: {kind: Cluster.fleet.cattle.io}", "delete is not for Cluster.fleet.cattle.io; it is for Secret"),
        ("- patch: {kind: GitRepo, count: 301, labels: {a: b}}", "301 of GitRepo, but only 300 are there; lower it"),
        ("- patch: {kind: GitRepo}", "a patch needs labels, annotations or spec"),
        ("- patch: {kind: GitRepo, spec: {paths: []}}", "spec.paths of a GitRepo decides what must exist; leave it"),
        ("- patch: {kind: Cluster.management.cattle.io, labels: {a: b}}", "labels of Clusters decide what must exist"),
        ("- read: {kind: GitRepo, count: 1, rate: {poison: 5/s}}", "unknown rate 'poison'; did you mean 'poisson'?"),
        ("- read: {kind: GitRepo, count: 1, rate: {ramp: [5/s, 6/s]}}", "ramp needs over, as {ramp: [10/s, 200/s], over"),
        ("- read: {kind: GitRepo, count: 1, rate: {steps: [5], each: 1s}}", "5 lacks a unit"),
        ("- read: {kind: GitRepo, count: 1, rate: {burst: 5}}", "burst needs size and every, as {burst: {size: 100"),
        ("- create: {kind: Secret, count: 1, size: {normal: 1}}", "unknown distribution 'normal'; did you mean 'lognormal'?"),
        ("- create: {kind: GitRepo, count: 1, namespaces: 2}", "namespaces is of Secret, not of GitRepo; remove it"),
        ("- churn: {kind: Secret, percentage: 200%}", "'200%' is not above 0% and up to 100%"),
        ("- pause: 5", "5 lacks a unit"),
        ("- parallel: [{settle: {}}]", "settle sends no requests, so nothing can run beside it"),
        ("- parallel: [{read: {kind: Secret, cuont: 1}}]", "unknown key 'cuont'; did you mean 'count'?"),
        ("- parallel: [{read: {kind: Secret, count: 1}}]", "no earlier step leaves any Secret"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, steps: str, message: str) -> None:
    text = error_of(tmp_path, changed("  - settle: {", f"  {steps}\n  - settle: {{"))
    assert message in text
    assert text.startswith("x.yaml:11:")
    assert "\n" not in text
