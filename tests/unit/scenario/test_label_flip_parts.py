"""label-flip for controllers that do a part of what Fleet and those around it do: its parameters and what follows of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.core.errors import ScenarioError, UsageError
from harness.core.ids import namespace_of
from harness.scenario import fanout, registered
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.scenario.plan import build_plan
from harness.scenario.resolve import resolve
from loadgen.actions import action_of
from loadgen.fields import PlanError
from loadgen.plan import parse
from tests.unit.scenario.scenario_files import DESIGN, RUN_ID, changed, error_of, scenario

FLEET, MANAGEMENT = "Cluster.fleet.cattle.io", "Cluster.management.cattle.io"
NAMESPACE = namespace_of(RUN_ID)
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
REPOS = 'count: "{repos}", bundles'


def flip(**sets: str) -> Scenario:
    return resolve(load("label-flip"), profile="quick", sets=sets)


def counts(made: Scenario) -> dict[str, int]:
    return {item.kind.alias: item.count for item in fanout.expected(made, RUN_ID)}


def plan(made: Scenario) -> dict[str, object]:
    built: dict[str, object] = json.loads(
        json.dumps(
            build_plan(
                made, run_id=RUN_ID, origin_ns=1, server="https://127.0.0.1:1", ca_file="ca", cert_file="cert",
                key_file="key", namespace=NAMESPACE,
            )
        )
    )  # fmt: skip
    return built


def test_a_second_writer_edits_bundles_of_the_load_while_the_flip_is_worked_on() -> None:
    edited = flip(bundles_from="load", edits="30")
    alone, beside = (plan(each)["phases"] for each in (flip(bundles_from="load"), edited))
    assert isinstance(alone, list)
    assert isinstance(beside, list)
    assert [phase["name"] for phase in beside if phase not in alone and phase["action"] == "patch"] == ["patch-Bundle"]
    assert counts(edited) == counts(flip(bundles_from="load"))


def test_by_default_all_of_it_is_the_controllers() -> None:
    made = flip(matching="2")
    assert counts(made) == {MANAGEMENT: 1, FLEET: 1, "GitRepo": 20, "Bundle": 100, "BundleDeployment": 10}
    assert [probe.name for probe in fanout.probes(made, RUN_ID)] == ["flip", "deployed"]
    assert registered.namespaces(made, RUN_ID, NAMESPACE) == {}


def test_the_load_makes_the_bundles_that_a_controller_would_make() -> None:
    made = flip(matching="2", bundles_from="load")
    assert counts(made) == {MANAGEMENT: 1, FLEET: 1, "Bundle": 100, "BundleDeployment": 10}
    (phase,) = [each for each in parse(plan(made)).phases.values() if each.kind == "Bundle"]
    assert (phase.count, len(phase.params["matching"])) == (100, 10)  # type: ignore[arg-type]
    assert Scenario.model_validate(json.loads(made.model_dump_json())) == made


def test_a_fleet_cluster_is_flipped_itself_and_nobody_deploys() -> None:
    made = flip(flip_kind=FLEET, deployed="false", bundles_from="load")
    assert counts(made) == {FLEET: 1, "Bundle": 100, "BundleDeployment": 5}
    (probe,) = fanout.probes(made, RUN_ID)
    assert (probe.name, probe.condition, len(probe.targets)) == ("flip", None, 5)


def test_a_fleet_cluster_of_the_load_is_registered_in_a_namespace_of_its_own() -> None:
    made = flip(flip_kind=FLEET, registered="true")
    name, namespace = "cluster-k4x7q-00000", f"{NAMESPACE}-c00000"
    assert registered.namespaces(made, RUN_ID, NAMESPACE) == {
        namespace: {"fleet.cattle.io/cluster": name, "fleet.cattle.io/cluster-namespace": NAMESPACE}
    }
    whole = parse(plan(made))
    request = action_of(whole, whole.phases[f"create-{FLEET}"])(0)
    assert (request.verb, request.method, request.name) == ("create", "POST", name)
    assert request.follow is not None
    status = request.follow(b"")
    assert status is not None
    assert (status.verb, status.name, status.follow) == ("patch", name, None)
    assert status.path == f"/apis/fleet.cattle.io/v1alpha1/namespaces/{NAMESPACE}/clusters/{name}/status"
    assert json.loads(status.body) == {"status": {"namespace": namespace}}
    repos = action_of(whole, whole.phases["create-GitRepo"])(0)
    assert repos.follow is None


@pytest.mark.parametrize("sets", [{"flip_kind": FLEET}, {"registered": "true"}])
def test_nobody_is_registered_unasked_and_management_clusters_never(sets: dict[str, str]) -> None:
    made = flip(**sets)
    assert registered.namespaces(made, RUN_ID, NAMESPACE) == {}
    whole = parse(plan(made))
    assert all("registered" not in phase.params for phase in whole.phases.values())


def test_each_of_several_clusters_has_its_own() -> None:
    made = scenario(load=[{"create": {"kind": FLEET, "count": 3, "registered": True}}])
    assert list(registered.namespaces(made, RUN_ID, NAMESPACE)) == [f"{NAMESPACE}-c0000{i}" for i in range(3)]


@pytest.mark.parametrize("wrong", [7, "run-c", "{0.__class__}"])
def test_a_plan_that_registers_nonsense_is_refused(wrong: object) -> None:
    made = plan(flip(flip_kind=FLEET, registered="true"))
    made["phases"][0]["params"]["registered"] = wrong  # type: ignore[index]
    whole = parse(made)
    with pytest.raises(PlanError, match="registered"):
        action_of(whole, whole.phases[f"create-{FLEET}"])


def test_unknown_values_name_what_was_meant() -> None:
    with pytest.raises(ScenarioError, match=r"unknown value 'lod'.*by --set.*did you mean 'load'\?"):
        flip(bundles_from="lod")
    with pytest.raises(ScenarioError, match=r"unknown kind 'Cluster.fleet'; did you mean Cluster.fleet.cattle.io"):
        flip(flip_kind="Cluster.fleet")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (changed(REPOS, 'count: "{repos}", bundles_from: load, uses: Secret, bundles'), "use no Secrets"),
        (
            changed("repos: 300", "repos: 1000000", changed(REPOS, 'count: "{repos}", bundles_from: load, bundles')),
            "make 10000000 Bundles; at most 1000000",
        ),
        (changed("count: 1}", "count: 1, bundles_from: load}"), "bundles_from is of GitRepo, not of"),
        (changed(REPOS, 'count: "{repos}", registered: true, bundles'), "registered is of Clusters, not of GitRepo"),
        (changed("condition: Ready}}", "condition: Ready}, when: true, nme: x}"), "unknown key 'nme'"),
    ],
)
def test_what_cannot_be_is_told_in_the_file(tmp_path: Path, text: str, words: str) -> None:
    assert words in error_of(tmp_path, text)


def test_a_dropped_probe_does_not_move_the_place_of_an_error(tmp_path: Path) -> None:
    dropped = changed("until: BundleDeployment}", "until: BundleDeployment, when: false}")
    assert error_of(tmp_path, dropped.replace("latency.flip", "latency.deployed")) == ""
    wrong = dropped.replace("latency.flip", "latency.deployed").replace(
        "kind: BundleDeployment, condition", "kind: Secret"
    )
    wrong = wrong.replace("Secret: Ready", "Secret")
    lines = wrong.splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "name: deployed" in text)
    assert error_of(tmp_path, wrong).startswith(f"x.yaml:{line}:"), error_of(tmp_path, wrong)
    # What is dropped cannot be expected either.
    assert "latency.flip" in error_of(tmp_path, dropped)


def test_manifests_of_the_command_line_come_after_those_of_the_file(tmp_path: Path) -> None:
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": True, "storage": True}],
        },
    }
    (tmp_path / "own.json").write_text(json.dumps(crd))
    (tmp_path / "first.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: first}\n")
    path = tmp_path / "x.yaml"
    path.write_text(changed("subject:", "setup: {apply: [first.yaml]}\nsubject:", DESIGN))
    made = resolve(load(path, apply=[tmp_path / "own.json"]))
    assert made.setup is not None
    assert made.setup.apply == ["first.yaml", str(tmp_path / "own.json")]
    assert [kind.full_name for kind in made.kinds] == ["Widget.example.com"]
    assert set(made.setup_files) == {"first.yaml", str(tmp_path / "own.json")}
    with pytest.raises((ScenarioError, UsageError), match=r"--apply.*no such file"):
        load(path, apply=[tmp_path / "missing.yaml"])


def test_the_example_of_a_kopf_operator_is_a_scenario_once_its_kind_is_known(tmp_path: Path) -> None:
    path = EXAMPLES / "kopf" / "kopf-objects.yaml"
    with pytest.raises(ScenarioError, match=r"KopfExample"):
        load(path)
    crd = tmp_path / "crd.yaml"
    crd.write_text(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: kopfexamples.kopf.dev}\n"
        "spec: {group: kopf.dev, scope: Namespaced, names: {kind: KopfExample, plural: kopfexamples},\n"
        "  versions: [{name: v1, served: true, storage: true}]}\n"
    )
    assert counts(resolve(load(path, apply=[crd]))) == {"KopfExample.kopf.dev": 200}


def test_the_example_of_dask_brings_its_kinds_along() -> None:
    made = resolve(load(EXAMPLES / "dask" / "dask-clusters.yaml"))
    assert counts(made) == {"DaskCluster.kubernetes.dask.org": 30}
    assert [len(probe.targets) for probe in fanout.probes(made, RUN_ID)] == [30, 30]
