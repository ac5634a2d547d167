"""Which parameter counts the objects, and what is varied beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.scenario import scaling
from harness.scenario.load import load
from harness.scenario.model import Scenario
from harness.scenario.names import creates, phases
from harness.scenario.resolve import resolve
from harness.scenario.sizes import Distribution

_FILE = """
name: mine
summary: A scenario of mine.
params: {some: 10, many: 500, limit: 64Mi}
subject: {controller: fleet, memory_limit: "{limit}"}
load:
  - parallel:
      - create: {kind: GitRepo, count: "{some}", bundles: 2}
      - create: {kind: Secret, count: "{many}", size: %s}
  - create: {kind: Cluster.management.cattle.io, count: 3}
%s
expect: [oom.kills == 0]
"""


def _file(directory: Path, size: str = "[1KB, 3KB]", more: str = "") -> Path:
    path = directory / "mine.yaml"
    path.write_text(_FILE % (size, more))
    return path


@pytest.mark.parametrize(("name", "parameter", "kind", "phase"), [
    ("secrets-8k", "secrets", "Secret", "create-Secret"),
    ("native-secrets-8k", "secrets", "Secret", "create-Secret-2"),
    ("native-watcher-init", "secrets", "Secret", "create-Secret"),
    ("label-flip", "repos", "GitRepo", "create-GitRepo"),
    ("calibrated", "items", "Item.calibrated.harness.dev", "create-Item.calibrated.harness.dev"),
])  # fmt: skip
def test_the_largest_count_of_a_shipped_scenario(name: str, parameter: str, kind: str, phase: str) -> None:
    found = scaling.counted(load(name), profile=None, sets={})
    assert (found.parameter, found.kind, found.phase) == (parameter, kind, phase)


def test_another_count_is_chosen_by_name(tmp_path: Path) -> None:
    file = load(_file(tmp_path))
    assert scaling.counted(file, profile=None, sets={}).parameter == "many"
    assert scaling.counted(file, profile=None, sets={"some": "900"}).parameter == "some"
    assert scaling.counted(file, profile=None, sets={}, objects="some").kind == "GitRepo"
    with pytest.raises(UsageError, match="'limit' is not the count of a create step"):
        scaling.counted(file, profile=None, sets={}, objects="limit")


@pytest.mark.parametrize(("more", "said"), [
    ("  - delete: {kind: Secret}", "step delete-Secret deletes objects"),
    ("  - churn: {kind: Secret, percentage: 10%, cycles: 2}", "step churn-Secret deletes objects"),
])  # fmt: skip
def test_objects_that_do_not_stay_are_refused(more: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        scaling.counted(load(_file(tmp_path, more=more)), profile=None, sets={})


def test_a_count_that_is_no_parameter_cannot_be_varied(tmp_path: Path) -> None:
    path = _file(tmp_path)
    path.write_text(
        path.read_text().replace('"{some}"', "10").replace('"{many}"', "500").replace("some: 10, many: 500, ", "")
    )
    with pytest.raises(UsageError, match="so the number of objects cannot be varied"):
        scaling.counted(load(path), profile=None, sets={})


def test_a_rung_has_another_limit_a_restart_and_no_expectations(tmp_path: Path) -> None:
    scenario = resolve(load(_file(tmp_path)))
    changed = scaling.unjudged(scenario, limit=2**30, restart=True)
    assert (changed.subject.memory_limit, changed.expect) == (2**30, [])
    assert [phase.name for phase in phases(changed)][-3:] == ["settle-1", "restart", "settle-2"]
    assert [phase.name for phase in phases(scaling.unjudged(scenario, limit=1, restart=False))] == [
        phase.name for phase in phases(scenario)
    ]
    kept = Scenario.model_validate(changed.model_dump(mode="json"))  # as a record keeps it
    assert kept == changed


def test_payloads_are_scaled_where_there_are_any(tmp_path: Path) -> None:
    scenario = resolve(load(_file(tmp_path)))
    changed = scaling.sized(scenario, "create-Secret", 2.0)
    assert changed is not None
    assert next(phase.step for phase in creates(changed) if phase.name == "create-Secret").size == (2000, 6000)
    assert scaling.sized(scenario, "create-GitRepo", 2.0) is None
    assert scaling.sized(scenario, "create-Secret", 1000.0) is None
    heavy = scaling.sized(
        resolve(load(_file(tmp_path, "{lognormal: {median: 3KB, sigma: 1.0}, max: 9KB}"))), "create-Secret", 2.0
    )
    assert heavy is not None
    size = next(phase.step for phase in creates(heavy) if phase.name == "create-Secret").size
    assert isinstance(size, Distribution)
    assert size.scale == 6000
