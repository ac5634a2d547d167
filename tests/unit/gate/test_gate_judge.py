"""What pairs of synthetic runs are judged to be, and why."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from harness.gate.judge import Question, judge, judge_stored, stand
from harness.gate.pairing import Pair
from harness.record.gate import Gate
from harness.record.models import ExperimentArm
from harness.scenario.gating import parse_primary
from tests.unit.gate import gate_pairs

HEAP, LATENCY = "memory.heap.settled", "latency.flip.p99"
NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
MIB = 2**20


def question(*, pairs: int = 12, primary: Mapping[str, str] | None = None, early: bool = True) -> Question:
    arms = [ExperimentArm(spec=word, kind="options", words=word) for word in ("old", "new")]
    stated = [parse_primary(name, text) for name, text in (primary or {HEAP: "3%"}).items()]
    return Question(
        experiment_id="20261122-090000-xxxxx", scenario="smoke", profile=None, started_at=NOW, baseline=arms[0],
        candidate=arms[1], primary=stated, pairs=pairs, early=early,
    )  # fmt: skip


def heaps(count: int, factor: float = 1.0, *, noise: float = 0.004, seed: int = 1) -> list[dict[str, float | None]]:
    drawn = random.Random(seed)
    return [{HEAP: 60 * MIB * factor * (1 + drawn.uniform(-noise, noise))} for _ in range(count)]


def measured(directory: Path, factor: float, count: int = 12, *, noise: float = 0.004) -> list[Pair]:
    return gate_pairs.pairs(directory, heaps(count, noise=noise), heaps(count, factor, noise=noise, seed=2))


def verdict(measurements: Sequence[Pair], **asked: Any) -> Gate:
    return judge(question(**asked), measurements, ended_at=NOW)


@pytest.mark.parametrize(
    ("factor", "expected", "code"),
    [(1.0, "pass", 0), (1.05, "regress", 1), (0.95, "improve", 0), (1.03, "inconclusive", 3)],
)
def test_verdicts_and_exit_codes(tmp_path: Path, factor: float, expected: str, code: int) -> None:
    gate = verdict(measured(tmp_path, factor))
    assert (gate.verdict, gate.exit_code) == (expected, code)
    line = gate.primary[0]
    assert line.effect == pytest.approx(factor - 1, abs=0.004)
    assert line.low is not None
    assert line.high is not None
    assert line.effect is not None
    assert line.low < line.effect < line.high
    assert line.baseline == pytest.approx(60 * MIB, rel=0.01)
    assert Gate.model_validate_json(gate.model_dump_json(by_alias=True)) == gate


def test_a_clear_case_needs_no_more_than_nine_pairs(tmp_path: Path) -> None:
    pairs = measured(tmp_path, 1.05, 9)
    assert not stand(question(), pairs[:8], ended=False).decided
    assert stand(question(), pairs, ended=False).decided
    assert not stand(question(early=False), pairs, ended=False).decided
    gate = verdict(pairs)
    assert (gate.verdict, gate.stopped_early, [look.pairs for look in gate.looks]) == ("regress", True, [9])


def test_what_was_decided_early_is_not_undone_by_later_pairs(tmp_path: Path) -> None:
    """The look belongs to the first nine pairs, also where more were measured."""
    pairs = [*measured(tmp_path / "a", 1.05, 9), *measured(tmp_path / "b", 0.5, 3)]
    renumbered = [gate_pairs.pair(i, *pair.sides.values()) for i, pair in enumerate(pairs, 1)]
    assert verdict(renumbered).verdict == verdict(pairs).verdict == "regress"


@pytest.mark.parametrize("count", [2, 6])
def test_too_few_pairs_never_pass(tmp_path: Path, count: int) -> None:
    gate = verdict(measured(tmp_path, 1.0, count, noise=0.0001), pairs=count)
    assert gate.verdict == "inconclusive"
    assert f"{count} pairs cannot decide, at least 7 are needed" in gate.reasons[0]
    assert gate.warnings == [f"{count} pairs can decide nothing; at least 7 are needed, better 12"]


def test_noise_never_passes(tmp_path: Path) -> None:
    gate = verdict(measured(tmp_path, 1.0, noise=0.2))
    assert gate.verdict == "inconclusive"
    assert "the interval holds 3%" in gate.reasons[0]


def test_an_invalid_run_never_passes_but_a_regression_stays_one(tmp_path: Path) -> None:
    lost = gate_pairs.side(
        tmp_path, "20261122-090500-ccccc", {HEAP: 1.0}, verdict="invalid", reasons=["incomplete: 3 of 9"]
    )
    sound = gate_pairs.side(tmp_path, "20261122-090500-bbbbb", {HEAP: 60.0 * MIB})
    broken = gate_pairs.pair(12, sound, lost)
    same = verdict([*measured(tmp_path / "a", 1.0, 11), broken])
    assert (same.verdict, same.exit_code) == ("inconclusive", 3)
    assert "pair 12: candidate: invalid: incomplete: 3 of 9" in same.reasons
    assert [pair.valid for pair in same.pairs] == [True] * 11 + [False]
    worse = verdict([*measured(tmp_path / "b", 1.05, 11), broken])
    assert worse.verdict == "regress"


def test_an_invalid_run_before_the_look_keeps_it_from_passing_early(tmp_path: Path) -> None:
    lost = gate_pairs.side(tmp_path, "20261122-090500-ccccc", {HEAP: 1.0}, verdict="error", reasons=["gone"])
    sound = gate_pairs.side(tmp_path, "20261122-090500-bbbbb", {HEAP: 60.0 * MIB})
    pairs = [gate_pairs.pair(99, sound, lost), *measured(tmp_path / "a", 1.0, 9)]
    assert not stand(question(), pairs, ended=False).decided
    assert stand(question(), pairs[1:], ended=False).decided


def test_a_busy_machine_is_made_up_for_by_another_pair(tmp_path: Path) -> None:
    reason = "the machine was too busy to judge latency.flip.p99: steal"
    busy = gate_pairs.side(tmp_path, "20261122-090500-ccccc", {HEAP: 1.0}, verdict="invalid", reasons=[reason])
    sound = gate_pairs.side(tmp_path, "20261122-090500-bbbbb", {HEAP: 60.0 * MIB})
    pair = gate_pairs.pair(99, sound, busy)
    assert pair.spoiled_by_machine
    gate = verdict([pair, *measured(tmp_path / "a", 1.0)])
    assert gate.verdict == "pass"
    assert gate.warnings == ["the machine was too busy in 1 pairs (99), which were measured again"]
    mixed = gate_pairs.side(tmp_path, "20261122-090501-ccccc", {}, verdict="invalid", reasons=[reason, "incomplete"])
    assert not gate_pairs.pair(98, sound, mixed).spoiled_by_machine


def test_two_primary_metrics_and_one_that_is_worse(tmp_path: Path) -> None:
    before = [{**row, LATENCY: 0.5} for row in heaps(12)]
    after = [{**row, LATENCY: 0.9} for row in heaps(12, seed=3)]
    gate = verdict(gate_pairs.pairs(tmp_path, before, after), primary={HEAP: "3%", LATENCY: "100ms"})
    assert gate.verdict == "regress"
    assert [line.verdict for line in gate.primary] == ["pass", "regress"]
    assert gate.primary[1].scale == "absolute"
    assert gate.primary[1].p_regress is not None
    assert gate.primary[1].p_regress_holm == 2 * gate.primary[1].p_regress


def test_an_effect_that_never_came_does_not_pass(tmp_path: Path) -> None:
    before, after = heaps(12), heaps(12, seed=2)
    after[4][HEAP] = None
    gate = verdict(gate_pairs.pairs(tmp_path, before, after))
    assert gate.verdict == "inconclusive"
    assert "some runs have no such value, so nothing is passed" in gate.reasons[0]


def test_a_share_of_zero_is_told(tmp_path: Path) -> None:
    rows: list[dict[str, float | None]] = [{"writes.noop": 0.0}] * 12
    gate = verdict(gate_pairs.pairs(tmp_path, rows, rows), primary={"writes.noop": "3%"})
    assert gate.verdict == "inconclusive"
    assert "a share of 0 means nothing (baseline); give the threshold in the metric's unit" in gate.reasons[0]
    assert verdict(gate_pairs.pairs(tmp_path / "b", rows, rows), primary={"writes.noop": "5"}).verdict == "pass"


def test_a_candidate_that_dies_where_the_baseline_lives(tmp_path: Path) -> None:
    pairs = []
    for number, (before, after) in enumerate(zip(heaps(12), heaps(12, seed=2), strict=True), 1):
        dies = number <= 8
        pairs.append(
            gate_pairs.pair(
                number,
                gate_pairs.side(tmp_path, f"20261122-0900{number:02d}-bbbbb", before),
                gate_pairs.side(
                    tmp_path, f"20261122-0900{number:02d}-ccccc", {HEAP: None} if dies else after,
                    verdict="failed" if dies else "passed", reasons=["OOM-killed at its memory limit"] * dies,
                ),
            )
        )  # fmt: skip
    gate = judge(question(early=False), pairs, ended_at=NOW)
    assert gate.verdict == "regress"
    assert gate.findings.candidate == 8
    assert gate.findings.p == 1 / 2**8
    assert (
        "the candidate failed alone in 8 pairs, the baseline alone in 0; candidate of pair 1 failed: OOM-killed"
        in (gate.reasons[-1])
    )
    few = judge(question(early=False), pairs[6:], ended_at=NOW)
    assert few.verdict == "inconclusive"


def test_a_candidate_that_fails_once_does_not_pass(tmp_path: Path) -> None:
    pairs = measured(tmp_path, 1.0)
    failing = gate_pairs.side(
        tmp_path, "20261122-090500-ccccc", {HEAP: 60.0 * MIB}, verdict="failed", reasons=["too slow"]
    )
    once = [*pairs[:11], gate_pairs.pair(12, pairs[11].sides["baseline"], failing)]
    gate = verdict(once, early=False)
    assert [line.verdict for line in gate.primary] == ["pass"]
    assert (gate.verdict, gate.findings.candidate, gate.findings.p) == ("inconclusive", 1, 0.5)
    assert "failed alone in 1 pairs" in gate.reasons[-1]
    other_way = [*pairs[:11], gate_pairs.pair(12, failing, pairs[11].sides["candidate"])]
    assert verdict(other_way, early=False).verdict == "pass"
    both = [*pairs[:11], gate_pairs.pair(12, failing, failing)]
    assert verdict(both, early=False).warnings == ["both arms failed the scenario's expectations in 1 pairs"]


def test_an_interrupted_gate_decides_nothing(tmp_path: Path) -> None:
    gate = judge(question(), measured(tmp_path, 1.05), ended_at=NOW, interrupted="interrupted after 12 of 12 pairs")
    assert (gate.verdict, gate.exit_code, gate.interrupted) == ("inconclusive", 130, True)
    assert gate.reasons[0] == "interrupted after 12 of 12 pairs"
    nothing = judge(question(), [], ended_at=NOW, interrupted="interrupted after 0 of 12 pairs")
    assert nothing.verdict == "inconclusive"


def test_a_stored_baseline_gives_advice_only(tmp_path: Path) -> None:
    pairs = measured(tmp_path, 1.05)
    before, after = ([pair.sides[arm] for pair in pairs] for arm in ("baseline", "candidate"))
    gate = judge_stored(question(), before, after, ended_at=NOW)
    assert (gate.verdict, gate.advisory, gate.exit_code) == ("regress", True, 3)
    assert "this is advice only" in gate.reasons[0]


def test_secondary_metrics_are_reported_and_decide_nothing(tmp_path: Path) -> None:
    before = [{**row, "tasks.peak": 50.0, "writes.total": 10.0} for row in heaps(12)]
    after = [{**row, "tasks.peak": 500.0, "writes.total": 10.0} for row in heaps(12, seed=2)]
    gate = verdict(gate_pairs.pairs(tmp_path, before, after))
    assert gate.verdict == "pass"
    found = {line.metric: line for line in gate.secondary}
    assert list(found) == ["tasks.peak", "writes.total"]
    assert found["tasks.peak"].effect == pytest.approx(9.0)
    assert found["writes.total"].effect == 0
    assert gate.blame == []
