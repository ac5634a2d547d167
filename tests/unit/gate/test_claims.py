"""What pairs say of a published claim. The pairs are synthetic."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.core import metrics
from harness.core.units import parse
from harness.gate import published
from harness.gate.claims import judge
from harness.gate.pairing import Side
from harness.gate.published import CASES, CURVES, Case, Stated
from harness.record.claims import Claim
from harness.scenario.load import load
from harness.scenario.resolve import resolve
from tests.records import RecordBuilder
from tests.unit.gate.gate_pairs import pair, pairs, side

MEMORY = "memory.cgroup.settled"
LESS = Stated("takes 30 % less", "30 %", MEMORY, -0.3)
SOME = Stated("takes less", "no figure", MEMORY, None)
ABOUT = Stated("takes about 4 MB more", "4 MB", MEMORY, 4e6, kind="about", scale="absolute")
KILLED = Stated("is killed, and is not", "killed", "oom.kills", None, kind="killed", scale="absolute")


def case(stated: Stated, *, other_runtime: bool = False, must_have: tuple[str, ...] = ()) -> Case:
    return Case(
        "9-x", 9, "smoke", "fleet", {"a": "1"}, {"a": "2"}, (stated,), "a table", "1Gi", "none", "because",
        must_have=must_have, other_runtime=other_runtime,
    )  # fmt: skip


def told(
    directory: Path, stated: Stated, values: list[tuple[float | None, float | None]], *, quick: bool = False,
    other_runtime: bool = False, more: Mapping[str, float | None] | None = None, must_have: tuple[str, ...] = (),
) -> Claim:  # fmt: skip
    off, on = ([{stated.metric: each[i], **(more or {})} for each in values] for i in (0, 1))
    found = case(stated, other_runtime=other_runtime, must_have=must_have)
    return judge(found, stated, pairs(directory, off, on), planned=8, quick=quick, experiment_id="x")


NOISE = (0.98, 1.02, 0.99, 1.01, 1.0, 0.985, 1.015, 1.005)


def around(off: float, on: float, spread: float = 1.0) -> list[tuple[float | None, float | None]]:
    return [(off, on * (1 + (factor - 1) * spread)) for factor in NOISE]


@pytest.mark.parametrize(
    ("stated", "values", "verdict", "reason"),
    [
        (LESS, around(100, 60), "reproduced", None),
        (LESS, around(100, 70), "reproduced", None),
        (LESS, around(100, 80), "not reproduced", None),  # less, but short of what was published
        (LESS, around(100, 130), "not reproduced", None),
        (LESS, around(100, 80, spread=40), "not comparable", "noise"),
        (SOME, around(100, 90), "reproduced", None),
        (SOME, around(100, 110), "not reproduced", None),
        (SOME, around(100, 100), "not comparable", "noise"),
        (ABOUT, [(1e6, 1e6 + 4e6 * factor) for factor in NOISE], "reproduced", None),
        (ABOUT, [(1e6, 1e6 + 1.9e6 * factor) for factor in NOISE], "not reproduced", None),
        (ABOUT, [(1e6, 1e6 + 9e6 * factor) for factor in NOISE], "not reproduced", None),
        (ABOUT, [(1e6, 1e6 + 2e6 * factor) for factor in NOISE], "not comparable", "noise"),
        (KILLED, [(1.0, 0.0)] * 8, "reproduced", None),
        (KILLED, [(1.0, 0.0)] * 7 + [(0.0, 0.0)], "not reproduced", None),
        (KILLED, [(1.0, 1.0)] * 8, "not reproduced", None),
        (LESS, [(100.0, 60.0)], "not comparable", "noise"),  # one pair has no interval
        (LESS, [(None, 60.0)] * 8, "not comparable", "no value"),
    ],
)
def test_verdicts(
    tmp_path: Path, stated: Stated, values: list[tuple[float | None, float | None]], verdict: str, reason: str | None
) -> None:
    claim = told(tmp_path, stated, values)
    assert (claim.verdict, claim.reason) == (verdict, reason), claim.sentence
    assert claim.sentence


@pytest.mark.parametrize(
    ("stated", "values", "direction"),
    [
        (LESS, (100.0, 99.0), "as claimed"),
        (LESS, (100.0, 101.0), "against the claim"),
        (LESS, (100.0, 100.0), "no change"),
        (ABOUT, (1e6, 2e6), "as claimed"),
        (ABOUT, (2e6, 1e6), "against the claim"),
        (KILLED, (1.0, 0.0), "as claimed"),
        (KILLED, (0.0, 0.0), "against the claim"),
    ],
)
def test_one_pair_of_the_quick_profile_tells_a_direction(
    tmp_path: Path, stated: Stated, values: tuple[float, float], direction: str
) -> None:
    claim = told(tmp_path, stated, [values], quick=True)
    assert (claim.verdict, claim.direction, claim.confidence) == ("direction", direction, None)


def test_another_runtime_is_measured_and_not_held_against_the_claim(tmp_path: Path) -> None:
    claim = told(tmp_path, LESS, around(100, 60), other_runtime=True)
    assert (claim.verdict, claim.reason) == ("not comparable", "other runtime")
    assert claim.change == pytest.approx(-0.4, abs=0.01)


def test_a_mode_that_is_cheaper_because_it_did_less_is_no_result(tmp_path: Path) -> None:
    for more in ({"latency.flip.max": None}, {"completeness.Secret": 0.99}, {}):
        must = ("latency.flip.max",) if "completeness.Secret" not in more else ("completeness.Secret",)
        claim = told(tmp_path, LESS, around(100, 60), more=more, must_have=must)
        assert (claim.verdict, claim.reason, claim.pairs) == ("not comparable", "incomplete work", 0)
        assert "incomplete" in claim.invalid[0]
    whole = told(tmp_path, LESS, around(100, 60), more={"latency.flip.max": 1.0}, must_have=("latency.flip.max",))
    assert whole.verdict == "reproduced"


def test_a_killed_run_is_judged_as_killed_and_not_as_incomplete(tmp_path: Path) -> None:
    rows = [({"oom.kills": 1.0}, {"oom.kills": 0.0, "latency.ready.max": 1.0})] * 3
    found = case(KILLED, must_have=("latency.ready.max",))
    made = pairs(tmp_path, [off for off, _ in rows], [on for _, on in rows])
    claim = judge(found, KILLED, made, planned=3, quick=False, experiment_id=None)
    assert (claim.verdict, claim.pairs) == ("reproduced", 3)
    assert claim.sentence == "killed without it in 3 and with it in 0 of 3 pairs"


@pytest.mark.parametrize(
    ("alerts", "kill", "direction"),
    [
        ([(2.0, 0.0), (20.0, 1.0)], 30.0, "as claimed"),
        ([(2.0, 0.0), (31.0, 1.0)], 30.0, "against the claim"),  # after it
        ([(2.0, 0.0)], 30.0, "against the claim"),  # never
        ([(2.0, 1.0), (20.0, 1.0)], 30.0, "against the claim"),  # always: it says nothing
        ([(2.0, 0.0), (20.0, 1.0)], None, None),
    ],
)
def test_an_alert_counts_if_it_comes_between_idle_and_the_kill(
    tmp_path: Path, alerts: list[tuple[float, float]], kill: float | None, direction: str | None
) -> None:
    record = RecordBuilder(tmp_path / "run")
    record.phase("idle", "idle", 1.0, 5.0)
    record.phase("create-Secret", "create", 5.0, 40.0)
    record.samples("metrics", "kserve_memory_alert", alerts)
    if kill is not None:
        record.event("oom_kill", kill)
    off = side(tmp_path, "r1", {"oom.kills": 0.0 if kill is None else 1.0})
    both = pair(1, Side(record.write(), off.verdict), side(tmp_path, "r2", {"oom.kills": 0.0}))
    stated = Stated("warns", "before", "oom.kills", None, kind="alerted", scale="absolute")
    claim = judge(case(stated), stated, [both], planned=1, quick=True, experiment_id=None)
    assert (claim.direction, claim.id) == (direction, "9-x/alert")
    assert claim.verdict == ("not comparable" if kill is None else "direction")


def test_pairs_that_are_not_valid_are_told_and_do_not_count(tmp_path: Path) -> None:
    make = functools.partial(side, tmp_path)
    bad = pair(1, make("r1", {MEMORY: 1.0}, verdict="invalid", reasons=["lost work"]), make("r2", {MEMORY: 1.0}))
    claim = judge(case(LESS), LESS, [bad], planned=1, quick=True, experiment_id=None)
    assert (claim.verdict, claim.reason) == ("not comparable", "no valid pair")
    assert claim.invalid == ["pair 1, off: invalid: lost work"]
    gone = judge(case(LESS), LESS, [], planned=1, quick=True, experiment_id=None, missing="no Go here")
    assert (gone.reason, gone.sentence) == ("subject missing", "no Go here")


@pytest.mark.parametrize("case_", CASES, ids=[item.id for item in CASES])
def test_every_case_fits_its_scenario_and_changes_something(case_: Case) -> None:
    file = load(case_.scenario)
    for quick in (False, True):
        off, on = case_.sets("off", quick=quick), case_.sets("on", quick=quick)
        assert off != on
        resolved = resolve(file, sets=off)
        assert resolve(file, sets=on).subject != resolved.subject
        assert resolved.subject.controller == case_.subject
    for stated in case_.stated:
        direction = metrics.resolve(stated.metric).metric.direction
        assert direction == "lower"
        assert (stated.change or -1) < 0 or stated.kind == "about"
    assert resolve(file, sets=case_.sets("off", quick=False)).subject.memory_limit == parse(case_.limit, "bytes")


@pytest.mark.parametrize("curve", CURVES, ids=[item.id for item in CURVES])
def test_every_curve_fits_its_scenario(curve: published.CurveSpec) -> None:
    for line in curve.lines:
        for x in curve.points:
            resolve(load(curve.scenario), sets=curve.sets(line, x))


def test_each_row_has_a_headline_and_ids_are_unique() -> None:
    assert published.rows() == [1, 2, 3, 4, 5]
    assert {item.row for item in published.chosen([1, 2, 3, 4, 5], headlines_only=True)} == {1, 2, 3, 4, 5}
    assert len({item.id for item in CASES}) == len(CASES)
