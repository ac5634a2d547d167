"""A scenario's load as cycles: what is repeated, what is done once, and what cannot be repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.scenario import fanout
from harness.scenario.cold import Cold, cold
from harness.scenario.cycles import Cycled, cycled
from harness.scenario.load import load
from harness.scenario.model import Restart, Settle
from harness.scenario.names import phases
from harness.scenario.resolve import resolve
from harness.scenario.steps import Create


def of(name: str, cycles: int = 3, naming: int = 2, **sets: str) -> Cycled:
    return cycled(resolve(load(name), sets=sets), cycles, naming=naming, quiet_for=0.5)


def actions(found: Cycled | Cold) -> list[str]:
    return [phase.step.action for phase in phases(found.scenario)]


def test_a_point_before_the_first_cycle_and_after_each() -> None:
    found = of("leak", naming=0)
    assert actions(found) == ["settle", *["create", "settle", "delete", "settle"] * 3]
    settles = [step for step in found.scenario.load if isinstance(step, Settle)]
    assert [step.point for step in settles] == [True, *[False, True] * 3]
    assert [step.trim for step in settles] == [*[False] * 6, True]
    assert {step.quiet_for for step in settles} == {0.5}
    assert (found.objects, found.naming_phase, found.scenario.expect) == (100, None, [])


def test_cycles_that_name_the_code_come_last_and_end_with_one_point() -> None:
    found = of("leak")
    assert found.naming_phase == "create-Bundle-4"
    after = [phase for phase in phases(found.scenario) if phase.place >= 13]
    assert [each.step.action for each in after] == ["create", "settle", "delete", "settle"] * 2
    assert [each.step.point for each in after if isinstance(each.step, Settle)] == [False, False, False, True]


def test_each_cycle_makes_objects_of_other_names_and_nothing_must_be_left() -> None:
    found = of("leak")
    made = [phase.ordinal for phase in phases(found.scenario) if isinstance(phase.step, Create)]
    assert made == [1, 2, 3, 4, 5]
    (bundles,) = fanout.expected(found.scenario, "20261122-093015-k4x7q")
    assert (bundles.kind.alias, bundles.count, bundles.final) == ("Bundle", 0, True)


def test_what_stands_for_good_is_created_once_and_probes_are_told() -> None:
    found = of("smoke", cycles=2, naming=0, secrets="20", repos="5", clusters="2", flips="1")
    assert actions(found)[:5] == ["create", "settle", "create", "create", "settle"]
    assert actions(found).count("delete") == 4
    assert [step.kind for step in found.scenario.load if isinstance(step, Create)].count(
        "Cluster.management.cattle.io"
    ) == 1
    assert any("probes are left out" in note for note in found.notes)
    assert any("matching of GitRepo is left out" in note for note in found.notes)


def test_own_kinds_take_part() -> None:
    assert of("calibrated", items="20").objects == 20


@pytest.mark.parametrize(
    ("load_", "message"),
    [("- create: {kind: Cluster.fleet.cattle.io, count: 2}", "creates nothing that is deleted again"),
     ("- create: {kind: Secret, count: 2}\n  - restart:", "has a restart"),
     ("- create: {kind: Secret, count: 9, rate: {step_until_failure: [1/s, 5/s], by: 1/s, each: 1s}}", "is not known")],
)  # fmt: skip
def test_what_cannot_be_repeated(load_: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"name: mine\nsummary: It is.\nsubject: {{controller: fleet}}\nload:\n  {load_}\n")
    with pytest.raises(UsageError, match=message):
        cycled(resolve(load(path)), 3)


def test_a_cold_start_grows_restarts_and_loses_its_server() -> None:
    found = cold(resolve(load("smoke"), sets={"secrets": "20"}), 2, 1, quiet_for=1.0)
    assert actions(found) == ["create", "create", "create", "settle", *["restart", "settle"] * 3]
    restarts = [step for step in found.scenario.load if isinstance(step, Restart)]
    assert [step.of for step in restarts] == ["subject", "subject", "apiserver"]
    settles = [step for step in found.scenario.load if isinstance(step, Settle)]
    assert [(step.point, step.quiet_for) for step in settles] == [(True, 1.0)] * 3 + [(True, 10.0)]
    assert found.objects == 20 + 20 + 30
    assert found.notes == ("flip is left out", "matching is left out with the flip")
