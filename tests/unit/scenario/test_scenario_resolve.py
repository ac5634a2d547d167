"""From a file to the scenario of one run: precedence, placeholders, the way into a record and back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, ScenarioError, UsageError
from harness.scenario.file import ScenarioFile
from harness.scenario.load import load
from harness.scenario.model import COLLECTORS, Create, Flip, Scenario, Settle
from harness.scenario.resolve import resolve
from tests.unit.scenario.scenario_files import DESIGN, changed

ARMS = """\
arms:
  base: {}
  small:
    set: {repos: 3, seed: 11, options.cache.Secret: none, memray: launch}
    expect: [oom.kills >= 1, "memory.rss.peak < {memory_limit}"]
    engaged: [{metric: load.requests, min: "{repos}"}]
"""


def read(directory: Path, text: str) -> ScenarioFile:
    path = directory / "scenario.yaml"
    path.write_text(text)
    return load(path)


def count_of_repos(scenario: Scenario) -> int:
    return next(step.count for step in scenario.load if isinstance(step, Create) and step.kind == "GitRepo")


def test_the_design_example_is_read_as_it_is_meant(tmp_path: Path) -> None:
    file = read(tmp_path, DESIGN)
    assert (file.name, file.arms, file.profiles) == ("label-flip", [], ["quick", "gate"])
    assert file.sha256 == hashlib.sha256(DESIGN.encode()).hexdigest()
    scenario = resolve(file)
    assert scenario.seed == 7
    assert scenario.subject.controller == "fleet"
    assert scenario.subject.options == {"workers": 50, "status_patch": "always"}
    assert scenario.subject.memory_limit == 512 * 2**20
    cluster, repos, settle, flip = scenario.load
    assert isinstance(cluster, Create)
    assert (cluster.kind, cluster.count, cluster.rate) == ("Cluster.management.cattle.io", 1, None)
    assert isinstance(repos, Create)
    assert (repos.count, repos.bundles, repos.matching, repos.rate, repos.concurrency) == (300, 10, 1, 200.0, 64)
    assert isinstance(settle, Settle)
    assert (settle.quiet_for, settle.timeout) == (3.0, 600.0)
    assert isinstance(flip, Flip)
    assert (flip.count, flip.labels) == (1, {"env": "prod"})
    assert [(p.name, p.until.kind, p.until.condition) for p in flip.probes] == [
        ("flip", "BundleDeployment", None),
        ("deployed", "BundleDeployment", "Ready"),
    ]
    assert [(e.text, e.metric, e.op, e.value, e.dimension) for e in scenario.expect] == [
        ("oom.kills == 0", "oom.kills", "==", 0.0, "count"),
        ("completeness.BundleDeployment == 1", "completeness.BundleDeployment", "==", 1.0, "ratio"),
        ("latency.flip.p99 < 60s", "latency.flip.p99", "<", 60.0, "seconds"),
    ]
    assert (scenario.memray, scenario.pyroscope) == ("off", "off")


def test_values_come_from_params_then_profile_then_arm_then_set(tmp_path: Path) -> None:
    file = read(tmp_path, DESIGN + ARMS)
    assert count_of_repos(resolve(file)) == 300
    assert count_of_repos(resolve(file, profile="quick")) == 20
    assert count_of_repos(resolve(file, profile="quick", arm="base")) == 20
    assert count_of_repos(resolve(file, profile="quick", arm="small")) == 3
    last = resolve(file, profile="quick", arm="small", sets={"repos": "5"})
    assert count_of_repos(last) == 5
    assert last.params["repos"] == 5
    assert last.params["bundles_per_repo"] == 5  # still of the profile
    assert (last.profile, last.arm) == ("quick", "small")


def test_an_arm_sets_top_level_keys_and_options_and_replaces_what_is_expected(tmp_path: Path) -> None:
    file = read(tmp_path, DESIGN + ARMS)
    small = resolve(file, arm="small")
    assert (small.seed, small.memray) == (11, "launch")
    assert small.subject.options == {"workers": 50, "status_patch": "always", "cache.Secret": "none"}
    assert [e.text for e in small.expect] == ["oom.kills >= 1", "memory.rss.peak < 512Mi"]
    assert small.expect[1].value == 512 * 2**20
    assert [(e.metric, e.min) for e in small.engaged] == [("load.requests", 3.0)]
    for same in (resolve(file, arm="base"), resolve(file)):
        assert [e.metric for e in same.expect] == ["oom.kills", "completeness.BundleDeployment", "latency.flip.p99"]
        assert (same.seed, same.memray) == (7, "off")


def test_an_arm_can_expect_nothing(tmp_path: Path) -> None:
    file = read(tmp_path, DESIGN + "arms: {bare: {expect: [], engaged: []}}\n")
    bare = resolve(file, arm="bare")
    assert (bare.expect, bare.engaged) == ([], [])
    assert resolve(file).expect


def test_the_command_line_sets_parameters_top_level_keys_and_options(tmp_path: Path) -> None:
    file = read(tmp_path, DESIGN)
    sets = {"seed": "99", "memray": "launch", "pyroscope": "on", "options.workers.bundle": "5", "status_patch": "off"}
    scenario = resolve(file, sets=sets)
    assert (scenario.seed, scenario.memray, scenario.pyroscope) == (99, "launch", "on")
    assert scenario.subject.options == {"workers": 50, "status_patch": "off", "workers.bundle": 5}
    assert resolve(file).subject.options == {"workers": 50, "status_patch": "always"}  # the file itself is unchanged


def test_a_list_can_be_set(tmp_path: Path) -> None:
    text = changed("- settle:", '- create: {kind: Secret, count: 1, size: "{size}"}\n  - settle:', DESIGN)
    file = read(tmp_path, changed("params: {", "params: {size: 3KB, ", text))
    sizes = [resolve(file, sets=sets).load[2] for sets in ({}, {"size": "[1Ki, 2Ki]"})]
    assert [step.size for step in sizes if isinstance(step, Create)] == [(3000, 3000), (1024, 2048)]


HINT = "(an option of the controller is set as options.NAME)"
TOO_MANY = "matching is 21, but only 20 GitRepo are created; lower it"
PARAMETERS = "repos, bundles_per_repo, workers, matching, status_patch, memory_limit, seed, memray, pyroscope, profile"


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"profile": "quik"}, "scenario label-flip has no profile 'quik'; did you mean 'quick'?"),
        ({"arm": "oom"}, "scenario label-flip has no arm 'oom'; its arms: base, small"),
        ({"sets": {"repoz": "1"}}, f"--set repoz=1: unknown parameter 'repoz'; did you mean 'repos'? {HINT}"),
        ({"sets": {"name": "x"}}, f"--set name=x: unknown parameter 'name'; parameters: {PARAMETERS} {HINT}"),
        ({"sets": {"repos": "x"}}, "FILE:10:36: expected a whole number, got 'x' ({repos} is 'x' by --set)"),
        ({"sets": {"repos": "[1"}}, "--set repos=[1: not valid YAML: did not find expected ',' or ']'"),
        ({"sets": {"repos": "!!int 3"}}, "--set repos=!!int 3: YAML tags are not accepted; remove the tag"),
        ({"sets": {"seed": "a"}}, "--set seed=a: expected a whole number, got 'a'"),
        ({"sets": {"memray": "lanch"}}, "--set memray=lanch: unknown value 'lanch'; did you mean 'launch'?"),
        (
            {"sets": {"options.workers": "[1]"}},
            "--set options.workers=[1]: expected a plain value such as 50 or always, got a list",
        ),
        (
            {"profile": "quick", "sets": {"matching": "21"}},
            f"FILE:10:88: {TOO_MANY} ({{matching}} is 21 by --set, profile quick)",
        ),
    ],
)
def test_a_wrong_choice_is_one_line(tmp_path: Path, choice: dict[str, object], message: str) -> None:
    file = read(tmp_path, DESIGN + ARMS)
    with pytest.raises((ScenarioError, UsageError)) as caught:
        resolve(file, **choice)  # type: ignore[arg-type]  # the choices are of different types
    assert str(caught.value) == message.replace("FILE", str(file.path))


def test_placeholders_keep_types_alone_and_are_written_out_in_text(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        """\
name: own
summary: An own controller.
params: {workers: 5, debug: true, limit: null, level: 1.5, image: "a:b"}
subject:
  command: [./manager, "--workers={workers}", "{image}", "--debug={debug}", "{kubeconfig}", "--at=127.0.0.1:{port:metrics}",
            "--json={\\"a\\": 1}", "{{name}}", "${HOME}", "{namespace}/{run_id}/{level}", "{foo:bar}"]
  memory_limit: "{limit}"
  metrics: http://127.0.0.1:{port:metrics}/metrics
  ready: {http: "http://127.0.0.1:{port:health}/readyz"}
  ready_timeout: 2m
  env: {LEVEL: "{level}x"}
load: [{create: {kind: Secret, count: "{workers}"}}]
""",
    )
    subject = resolve(file).subject
    assert subject.command == [
        *("./manager", "--workers=5", "a:b", "--debug=true", "{kubeconfig}", "--at=127.0.0.1:{port:metrics}"),
        *('--json={"a": 1}', "{{name}}", "${HOME}", "{namespace}/{run_id}/1.5", "{foo:bar}"),
    ]
    assert subject.memory_limit is None
    assert subject.env == {"LEVEL": "1.5x"}
    assert subject.metrics == "http://127.0.0.1:{port:metrics}/metrics"
    assert (subject.ready and subject.ready.http) == "http://127.0.0.1:{port:health}/readyz"
    assert subject.ready_timeout == 120.0
    assert resolve(file).collect == list(COLLECTORS)
    assert resolve(file, sets={"limit": "64Mi"}).subject.memory_limit == 64 * 2**20


def test_words_of_yaml_1_1_are_words(tmp_path: Path) -> None:
    text = changed(
        'status_patch: "{status_patch}"', 'status_patch: "{status_patch}", index: on, a: no, b: true, c: 010, d: 1:30'
    )
    options = resolve(read(tmp_path, text)).subject.options
    assert {key: options[key] for key in "abcd"} == {"a": "no", "b": True, "c": 10, "d": "1:30"}
    assert options["index"] == "on"


def test_empty_steps_are_dropped_with_what_hangs_on_them(tmp_path: Path) -> None:
    text = changed("completeness.BundleDeployment == 1, latency.flip.p99 < 60s", "load.failures == 0")
    text = changed(
        "    probes:", "    probes:", changed("labels: {env: prod}}", 'labels: {env: prod}, count: "{flips}"}', text)
    )
    file = read(tmp_path, changed("params: {", "params: {flips: 1, ", text))
    kept = resolve(file, sets={"repos": "0", "flips": "0"})
    assert [step.action for step in kept.load] == ["create", "settle"]
    assert kept.params["repos"] == 0


def test_an_error_behind_a_dropped_step_keeps_its_place(tmp_path: Path) -> None:
    text = changed("  - create: {kind: Cluster", "  - create: {kind: Secret, count: 0}\n  - create: {kind: Cluster")
    file = read(tmp_path, text)
    with pytest.raises(ScenarioError) as caught:
        resolve(file, sets={"repos": "1000000", "bundles_per_repo": "2"})
    assert str(caught.value).startswith(f"{file.path}:11:56: 1000000 GitRepos of 2 Bundles make 2000000 Bundles (")


@pytest.mark.parametrize(
    "choice", [{}, {"profile": "quick"}, {"arm": "small"}, {"sets": {"memory_limit": "null", "matching": "3"}}]
)
def test_a_scenario_goes_into_a_record_and_back_unchanged(tmp_path: Path, choice: dict[str, object]) -> None:
    text = DESIGN if "sets" in choice else DESIGN + ARMS
    text = changed("timeout: 10m", "timeout: 12.3456789s", text)
    text = changed("rate: 200/s", "rate: 7/min", text)
    text = changed(
        "- settle:", "- create: {kind: Secret, count: 4, size: [1B, 3Ki], labels: {a: b}}\n  - settle:", text
    )
    text = changed(
        "min: 100}", "min: 1}, {metric: memory.rss.peak, min: 1MB}, {metric: startup.synced, min: 0.1s}", text
    )
    scenario = resolve(read(tmp_path, text), **choice)  # type: ignore[arg-type]  # the choices are of different types
    recorded = json.loads(json.dumps(scenario.model_dump(mode="json")))
    again = Scenario.model_validate(recorded)
    assert again == scenario
    assert json.loads(json.dumps(again.model_dump(mode="json"))) == recorded
    settle = next(step for step in again.load if isinstance(step, Settle))
    assert settle.timeout == 12.3456789


def test_a_record_names_its_units(tmp_path: Path) -> None:
    recorded = resolve(read(tmp_path, DESIGN)).model_dump(mode="json")
    assert recorded["load"][2] == {"settle": {"quiet_for": "3s", "timeout": "600s", "point": False, "trim": False}}
    assert recorded["load"][1]["create"]["rate"] == "200/s"
    assert recorded["load"][0]["create"]["rate"] == "max"
    assert recorded["load"][3]["flip"]["labels"] == {"env": "prod"}
    assert [probe["name"] for probe in recorded["load"][3]["probes"]] == ["flip", "deployed"]
    assert recorded["subject"]["memory_limit"] == "536870912B"
    assert recorded["expect"][0] == "oom.kills == 0"


def test_a_scenario_cannot_be_changed(tmp_path: Path) -> None:
    scenario = resolve(read(tmp_path, DESIGN))
    with pytest.raises(ValueError, match="frozen"):
        scenario.seed = 3


def test_expectations_are_filed_under_the_kinds_alias(tmp_path: Path) -> None:
    text = changed("completeness.BundleDeployment == 1", "completeness.BundleDeployment.fleet.cattle.io==100%")
    expectation = resolve(read(tmp_path, text)).expect[1]
    assert (expectation.text, expectation.metric, expectation.value) == (
        "completeness.BundleDeployment == 100%",
        "completeness.BundleDeployment",
        1.0,
    )


def test_results_that_need_what_the_subject_lacks_are_refused(tmp_path: Path) -> None:
    own = "name: own\nsummary: x\nsubject: {command: [a]}\nload: [{create: {kind: Secret, count: 1}}]\n"
    for line, message in (
        (
            "expect: [reconciles.total > 1]",
            "reconciles.total is read from the subject's metrics; say where they are: subject.metrics",
        ),
        ("expect: [memory.headroom.idle > 1Mi]", "memory.headroom.idle needs a memory limit; set subject.memory_limit"),
        ("expect: [latency.x.p50 < 1s]", "no probe 'x' for metric 'latency.x.p50'; probes of this scenario: none"),
    ):
        with pytest.raises(HarnessError) as caught:
            read(tmp_path, own + line)
        assert str(caught.value) == f"{tmp_path}/scenario.yaml:5:10: {message}"
