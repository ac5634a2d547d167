"""Slopes and predicted counts of the published cases, from points whose truth is known. Points and kills are synthetic."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest

from harness.gate import claims_lines, published
from harness.gate.claims import judge
from harness.gate.pairing import Side
from harness.gate.published import CURVES, Case, CurveSpec, Stated
from harness.record import schemas
from harness.record.claims import Claims, Curve, CurveLine, CurvePoint
from harness.report import claims_page, claims_text
from tests.records import RecordBuilder
from tests.unit.gate.gate_pairs import pair, side

MIB, KIB = 2**20, 2**10
COUNTS = (0, 1000, 4000, 8000, 16000)
WOBBLE = (3e4, -5e4, 6e4, -5e4, 1e4)
KILLED = Stated("is killed", "killed", "oom.kills", None, kind="killed", scale="absolute")
CASE = Case(
    "9-killed", 9, "smoke", "fleet", {"mode": "a"}, {"mode": "b"}, (KILLED,), "a table", "96Mi", "none", "because"
)
SPEC = CurveSpec(
    "9-memory", 9, "Memory", "smoke", "secrets", COUNTS, "memory.cgroup.settled", {"cache": {}, "get": {}},
    kills={"cache": "9-killed"},
)  # fmt: skip


def line(name: str, value: Callable[[int], float], peak_over: float = 1.0) -> CurveLine:
    points = [
        CurvePoint(x=x, value=value(x) + off, peak=peak_over * value(x) + off)
        for x, off in zip(COUNTS, WOBBLE, strict=True)
    ]
    return CurveLine(name=name, points=points)


def document(*lines: CurveLine, unit: str = "B") -> Claims:
    curve = Curve(id="9-memory", row=9, title="Memory", x="secrets", metric="memory.cgroup.settled", unit=unit,
                  lines=list(lines))  # fmt: skip
    return Claims(
        profile="full", state="complete", fingerprint="f", command="harness claims", started_at=datetime.now(UTC),
        rows=[9], curves=[curve], exit_code=0,
    )  # fmt: skip


def killed(directory: Path, *counts: int) -> list[tuple[int, Side]]:
    """Runs that were killed when so many Secrets had been created; one more was refused, one more came after."""
    found = []
    for number, count in enumerate(counts):
        record = RecordBuilder(directory / f"r{number}")
        record.phase("create-Secret", "create", 1.0, 50.0)
        record.request("create-Secret-used", 0.5, 0.6)
        for index in range(count):
            record.request("create-Secret", 2.0, 2.0 + index / 1000)
        record.request("create-Secret", 2.0, 2.5, error="500")
        record.event("oom_kill", 30.0)
        record.request("create-Secret", 31.0, 31.5)
        verdict = side(directory, f"v{number}", {"oom.kills": 1.0}).verdict
        found.append((count, Side(record.write(), verdict)))
    return found


def test_a_slope_is_that_of_the_points_with_an_interval() -> None:
    found = claims_lines.slope(line("cache", lambda x: 40 * MIB + 10 * KIB * x).points)
    assert found.each is not None
    assert found.base is not None
    assert found.each.value == pytest.approx(10 * KIB, rel=0.01)
    assert found.base.value == pytest.approx(40 * MIB, rel=0.01)
    assert found.each.low is not None
    assert found.each.high is not None
    assert found.each.low < 10 * KIB < found.each.high
    assert found.points == 5
    assert found.sentence.startswith("straight")


def test_points_without_a_value_do_not_count_and_too_few_are_said() -> None:
    points = line("cache", lambda x: 40 * MIB + 10 * KIB * x).points
    for point in points[:3]:
        point.value = None
    found = claims_lines.slope(points)
    assert (found.each, found.points) == (None, 2)
    assert "too few" in found.sentence
    assert claims_lines.slope(points[:3]).each is None


def test_the_count_is_predicted_from_peaks_and_held_against_the_kills(tmp_path: Path) -> None:
    """Peaks of 1.2 times 40 MiB and 10 KiB for each reach 96 MiB at (96 - 48) MiB / 12 KiB = 4,096."""
    runs = killed(tmp_path, 40, 50, 60)
    alive = side(tmp_path, "alive", {"oom.kills": 0.0})
    pairs = [pair(number, off, alive) for number, (_, off) in enumerate(runs, 1)]
    claim = judge(CASE, KILLED, pairs, planned=3, quick=False, experiment_id=None)
    assert claim.killed_at == [40, 50, 60]
    for real, within in (([3900, 4000, 4300], True), ([3000], False)):
        made = document(line("cache", lambda x: 40 * MIB + 10 * KIB * x, 1.2), line("get", lambda _: 48.0 * MIB))
        made.claims = [claim.model_copy(update={"killed_at": real})]
        claims_lines.conclude(made, [SPEC], {CASE.id: CASE})
        (found,) = made.predictions
        assert found.predicted is not None
        assert found.predicted.value == pytest.approx(4096, rel=0.01)
        assert found.predicted.low is not None
        assert found.predicted.high is not None
        assert found.predicted.low < 4096 < found.predicted.high
        assert (found.killed_at, found.within_goal, found.line) == (real, within, "cache")
        assert found.error == pytest.approx((found.predicted.value - real[len(real) // 2]) / real[len(real) // 2])
        stored = json.loads(made.model_dump_json(by_alias=True))
        jsonschema.validate(stored, json.loads((schemas.DIRECTORY / "claims.v1.json").read_text()))
        for text in (claims_text.render(made), claims_page.render(made)):
            assert "fleet, cache, secrets under 96.0 MiB: predicted 4,0" in text
            assert ("within 10%" if within else "beyond 10%") in text
        assert "| each further one | 10.0 KiB (" in claims_text.render(made)


def test_what_cannot_be_said_is_said() -> None:
    bent = document(line("cache", lambda x: 40 * MIB + KIB * x + KIB * x * x / 2000, 1.2))
    claims_lines.conclude(bent, [SPEC], {CASE.id: CASE})
    (found,) = bent.predictions
    assert (found.predicted, found.real, found.error) == (None, None, None)
    assert "not a straight line" in (found.refused or "")
    assert "no count predicted: memory is not" in found.sentence
    assert found.sentence.endswith("no kill measured")
    flat = document(line("cache", lambda _: 40.0 * MIB))
    claims_lines.conclude(flat, [SPEC], {CASE.id: CASE})
    assert flat.predictions[0].refused is not None
    others = document(line("cache", float), unit="s")
    claims_lines.conclude(others, [], {})
    assert others.curves[0].lines[0].slope is None, "a slope is of memory"


def test_row_5_has_a_slope_for_each_language_and_predicts_for_two() -> None:
    cases = claims_lines.cases()
    subjects = {cases[case].subject for spec in CURVES for case in spec.kills.values()}
    assert subjects == {"kserve", "native-go"}
    for spec in CURVES:
        for name, case in spec.kills.items():
            under_a_limit = cases[case].sets("off", quick=False)
            settings = {**spec.common, **spec.lines[name]}
            assert under_a_limit.items() - settings.items() <= {("memory_limit", cases[case].limit)}
    scenarios = {spec.scenario for spec in CURVES if spec.row == 5 and published.unit_of(spec.metric) == "B"}
    assert scenarios == {"kserve-secrets-8k", "native-secrets-8k", "native-watcher-init"}
