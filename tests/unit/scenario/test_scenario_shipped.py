"""The scenarios that come with the harness, their schema, and their listing."""

from __future__ import annotations

import itertools
import json

import jsonschema
import pytest
import typer
from typer.testing import CliRunner

from harness.cli.scenarios import scenarios
from harness.controllers.calibrated.options import parse as parse_calibrated
from harness.controllers.fleet.options import parse as parse_fleet
from harness.controllers.kserve.options import parse as parse_kserve
from harness.controllers.watcher.options import parse as parse_watcher
from harness.core.paths import scenarios_dir
from harness.scenario import profiling
from harness.scenario.document import parse_document
from harness.scenario.fanout import NO_RUN, expected, probes, scenario_kinds
from harness.scenario.file import Head
from harness.scenario.load import load, shipped
from harness.scenario.model import Scenario
from harness.scenario.resolve import resolve
from harness.scenario.schema import SCHEMA_PATH, ScenarioFileModel, build, text
from tests.unit.scenario.scenario_files import DESIGN

FILES = {name: load(name) for name in shipped()}
PARSE = {"calibrated": parse_calibrated, "fleet": parse_fleet, "kserve": parse_kserve, "watcher": parse_watcher}
COMPILED = {
    "native-go": {"cache", "watch", "disable_for", "transform", "selector", "workers", "index"},
    "native-rust": {"kube", "page_size", "watch_list", "store"},
}
VALIDATOR = jsonschema.Draft202012Validator(build())
ALL = [
    pytest.param(name, profile, arm, id=f"{name}-{profile}-{arm}")
    for name, file in FILES.items()
    for profile, arm in itertools.product([None, *file.profiles], [None, *file.arms])
]


def test_what_is_shipped() -> None:
    assert shipped() == [
        "calibrated", "failover", "fleet-scale", "kserve-secrets-8k", "label-flip", "leak", "native-secrets-8k",
        "native-watcher-init", "secrets-8k", "smoke", "soak", "watcher-init",
    ]  # fmt: skip
    assert load("smoke").arms == ["pass", "oom"]
    assert load("label-flip").profiles == ["quick", "gate"]


@pytest.mark.parametrize(("name", "profile", "arm"), ALL)
def test_every_variant_resolves_and_survives_a_record(name: str, profile: str | None, arm: str | None) -> None:
    file = FILES[name]
    made = resolve(file, profile=profile, arm=arm)
    assert (made.name, file.path.parent) == (name, scenarios_dir())
    assert Scenario.model_validate(json.loads(made.model_dump_json())) == made
    assert made.subject.memory_limit is not None
    assert made.expect
    assert expected(made, NO_RUN)
    assert all(probe.targets for probe in probes(made, NO_RUN))


@pytest.mark.parametrize(("name", "profile", "arm"), ALL)
def test_the_controller_takes_the_options_of_every_variant(name: str, profile: str | None, arm: str | None) -> None:
    subject = resolve(FILES[name], profile=profile, arm=arm).subject
    assert subject.controller is not None
    if subject.controller in COMPILED:  # tests/integration/test_native_*.py give them each of these
        assert set(subject.options) <= COMPILED[subject.controller]
        return
    PARSE[subject.controller](["--kubeconfig", "x", *(f"--{key}={value}" for key, value in subject.options.items())])


def test_a_subject_that_only_reads_is_not_waited_for() -> None:
    made = resolve(FILES["native-secrets-8k"], profile="quick")
    assert {item.kind.alias for item in expected(made, NO_RUN)} == {"GitRepo", "Secret"}
    assert [kind.alias for kind in scenario_kinds(made)] == ["Secret", "GitRepo"]
    as_fleet = made.model_copy(update={"subject": made.subject.model_copy(update={"controller": "fleet"})})
    assert "Bundle" in {item.kind.alias for item in expected(as_fleet, NO_RUN)}
    assert "Bundle" in [kind.alias for kind in scenario_kinds(as_fleet)]


@pytest.mark.parametrize(("name", "profile", "arm"), ALL)
def test_the_schema_takes_every_shipped_file_and_every_resolved_scenario(
    name: str, profile: str | None, arm: str | None
) -> None:
    VALIDATOR.validate(FILES[name].document.data)
    resolved = resolve(FILES[name], profile=profile, arm=arm).model_dump(mode="json")
    for beside_the_file in ("profile", "arm", "own_kinds", "setup_files", "templates"):
        del resolved[beside_the_file]
    resolved[profiling.KEY] = resolved.pop(profiling.FIELD)  # the one key that the file calls otherwise
    VALIDATOR.validate(resolved)


def test_the_shipped_schema_is_that_of_the_models() -> None:
    assert SCHEMA_PATH.read_text() == text(), "run python -m harness.scenario.schema"
    jsonschema.Draft202012Validator.check_schema(build())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("count: 1}", "cuont: 1}"),
        ("count: 1}", "count: one}"),
        ("200/s", "200"),
        ("512Mi}", "512Mi}\nmemray: lunch"),
        ("- settle:", "- setle:"),
        ("repos: 300", "repos: {a: 1}"),
        ("[memory, oom", "[memory, omm"),
    ],
)
def test_the_schema_refuses_what_loading_refuses(old: str, new: str) -> None:
    assert old in DESIGN
    assert VALIDATOR.is_valid(parse_document(DESIGN, "x").data)
    assert not VALIDATOR.is_valid(parse_document(DESIGN.replace(old, new, 1), "x").data)


def test_what_a_file_declares_and_what_the_schema_says_have_the_same_keys() -> None:
    assert set(Head.model_fields) - {profiling.KEY} == set(ScenarioFileModel.model_fields) - {profiling.FIELD}
    assert profiling.KEY in build()["properties"]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(scenarios)
    return app


def test_the_listing_tells_names_arms_profiles_and_parameters(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert (
        "smoke\n  The whole way in three minutes; one arm must pass, the other must be OOM-killed.\n  arms: pass, oom\n"
        in result.output
    )
    assert (
        "  profiles: quick (repos=20, bundles_per_repo=5), gate (repos=30, clusters=6, flip_rate=20/min)\n"
        in result.output
    )
    assert (
        "  parameters: secrets=8000, size=[2KB,5KB], memory_limit=512Mi, cache.Secret=full, services=0\n"
        in result.output
    )


def test_the_listing_as_json(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 0
    listed = {item["name"]: item for item in json.loads(result.output)["scenarios"]}
    assert set(listed) == set(shipped())
    assert listed["label-flip"]["profiles"]["gate"] == {"repos": 30, "clusters": 6, "flip_rate": "20/min"}
    assert listed["secrets-8k"]["params"]["size"] == ["2KB", "5KB"]
    assert listed["smoke"]["arms"] == ["pass", "oom"]
