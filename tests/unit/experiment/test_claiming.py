"""How claims are measured, interrupted and taken up again. Runs are faked: what they measure is given, not measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest

from harness.core.errors import ExitCode, UsageError
from harness.experiment import claiming, claims_kept, pairs, preflight
from harness.experiment.options import RunOptions
from harness.gate import published
from harness.gate.pairing import Side
from harness.gate.published import Case, CurveSpec, Stated
from harness.record import schemas
from harness.record.claims import Claims
from harness.record.models import ExperimentRun
from harness.report import claims_page, claims_text
from tests import records

RSS = "memory.rss.settled"
STATED = (Stated("takes less", "no figure", RSS, None),)
PLACE = ("a table", "512Mi", "none", "because")


def case(row: int, name: str, *, headline: bool = True) -> Case:
    return Case(
        f"{row}-{name}", row, "smoke", "fleet", {"cache.Secret": "full"}, {"cache.Secret": "none"}, STATED, *PLACE,
        headline=headline,
    )  # fmt: skip


class Quiet:
    """A watcher that is told everything and says nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


class Runs:
    """A fake of `measure_run`: `off` holds 100, `on` 50; run number `interrupt` is interrupted."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.names: list[str] = []
        self.interrupt = -1

    def __call__(self, measuring: pairs.Measuring, pair: int, seed: int, name: str, *_: Any) -> Side:
        number = len(self.names)
        self.names.append(name)
        run_id = f"20261122-{number:06d}-{name[0] * 5}"
        word = "interrupted" if number == self.interrupt else "passed"
        record = records.RecordBuilder(self.directory / run_id, run_id=run_id, arm=name).write(seed=seed)
        value = 50.0 + number / 100 if name == "candidate" else 100.0
        verdict = records.verdict_of(record, {RSS: value}, word, 0, reasons=[])  # type: ignore[arg-type] # two of its words
        measuring.facts.runs.append(
            ExperimentRun(
                run_id=run_id, arm=name, order=number, verdict=verdict.verdict, exit_code=0, pair=pair, seed=seed
            )
        )
        measuring.save()
        measuring.interrupted |= word == "interrupted"
        return Side(record, verdict)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runs:
    made = Runs(tmp_path / "runs")
    cases = (case(1, "all"), case(1, "one", headline=False), case(2, "all"))
    curve = CurveSpec("1-c", 1, "A curve", "smoke", "repos", (1, 2), RSS, {"plain": {}})
    monkeypatch.setattr(published, "CASES", cases)
    monkeypatch.setattr(claiming, "CURVES", (curve,))
    monkeypatch.setattr(pairs, "measure_run", made)
    monkeypatch.setattr(preflight, "check", lambda *_: None)
    return made


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer pairs than a full profile really has: what is tested does not depend on how many."""
    monkeypatch.setattr(claiming, "HEADLINE_PAIRS", 2)
    monkeypatch.setattr(claiming, "SWITCH_PAIRS", 1)


def measure(runs: Runs, *rows: int, profile: Any = "quick", fresh: bool = False, **more: float) -> Claims:
    return claiming.run_claims(
        list(rows), profile, RunOptions(out=runs.directory), Quiet(), fresh=fresh, **more
    )  # a fake


def test_quick_measures_one_pair_of_each_headline_and_tells_a_direction(runs: Runs) -> None:
    found = measure(runs)
    assert [(claim.row, claim.verdict, claim.direction) for claim in found.claims] == [
        (1, "direction", "as claimed"), (2, "direction", "as claimed"),
    ]  # fmt: skip
    assert (len(runs.names), found.curves, found.exit_code, found.state) == (4, [], 0, "complete")


def test_full_measures_eight_pairs_three_for_a_switch_and_the_curves(runs: Runs) -> None:
    found = measure(runs, profile="full")
    assert [(claim.id, claim.verdict, claim.pairs) for claim in found.claims] == [
        (f"1-all/{RSS}", "reproduced", 8), (f"1-one/{RSS}", "reproduced", 3), (f"2-all/{RSS}", "reproduced", 8),
    ]  # fmt: skip
    (line,) = found.curves[0].lines
    assert [(point.x, point.value) for point in line.points] == [(1.0, 100.0), (2.0, 100.0)]
    assert line.slope is not None
    assert (line.slope.each, line.slope.points) == (None, 2), "two points have a line, but no noise"
    assert found.exit_code == ExitCode.PASSED
    stored = json.loads((claims_kept.directory(runs.directory, "full") / "claims.json").read_text())
    jsonschema.validate(stored, json.loads((schemas.DIRECTORY / "claims.v1.json").read_text()))
    assert stored["schema"] == "harness.claims/v1"


@pytest.mark.usefixtures("few")
def test_the_arms_take_turns_in_an_order_drawn_beforehand(runs: Runs) -> None:
    measure(runs, 2, profile="full")
    blocks = [runs.names[i : i + 4] for i in range(0, len(runs.names), 4)]
    assert all(sorted(block[:2]) == ["baseline", "candidate"] and block[0] != block[2] for block in blocks)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("interrupt", [0, 3, 5, 10])
def test_what_was_interrupted_goes_on_and_measures_nothing_twice(runs: Runs, interrupt: int) -> None:
    runs.interrupt = interrupt
    first = measure(runs, profile="full")
    assert (first.state, first.exit_code) == ("interrupted", ExitCode.INTERRUPTED)
    found = measure(runs, profile="full")
    assert (found.state, found.exit_code) == ("complete", 0)
    assert [claim.pairs for claim in found.claims] == [2, 1, 2]
    whole = 2 * (2 + 1 + 2)
    half = interrupt % 2 if interrupt < whole else 0  # the first run of the pair that was cut short
    assert len(runs.names) == whole + 2 + 1 + half


@pytest.fixture
def a_second_each(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run takes a second of the clock, and nothing else does."""
    monkeypatch.setattr(claiming, "time", SimpleNamespace(monotonic=lambda: float(len(runs.names))))


@pytest.mark.usefixtures("a_second_each")
@pytest.mark.parametrize(("budget_s", "measured"), [(0.0, 0), (1.0, 1), (2.0, 1), (3.0, 2)])
def test_what_is_not_begun_in_time_is_told_and_each_row_has_a_verdict(
    runs: Runs, budget_s: float, measured: int
) -> None:
    found = measure(runs, budget_s=budget_s)
    told = [(claim.row, claim.verdict, claim.reason) for claim in found.claims]
    assert told == [
        (row, "direction", None) if row <= measured else (row, "not comparable", "interrupted") for row in (1, 2)
    ]
    assert len(runs.names) == 2 * measured, "a pair that was begun is measured to its end"
    assert found.exit_code == ExitCode.PASSED, "every row has a verdict"
    assert found.state == ("complete" if measured == 2 else "interrupted")
    if measured < 2:
        assert found.claims[-1].sentence == "0 of 1 pair measured when the time was over"
        assert [claim.verdict for claim in measure(runs).claims] == ["direction"] * 2  # the same command goes on
        assert len(runs.names) == 4


@pytest.mark.usefixtures("few", "a_second_each")
def test_the_time_may_be_over_amid_pairs_and_curves(runs: Runs) -> None:
    amid = measure(runs, profile="full", budget_s=2.0)
    assert [(claim.reason, claim.sentence) for claim in amid.claims] == [
        ("interrupted", "1 of 2 pairs measured when the time was over"),
        ("interrupted", "0 of 1 pair measured when the time was over"),
        ("interrupted", "0 of 2 pairs measured when the time was over"),
    ]
    at_a_point = measure(runs, profile="full", budget_s=9.0)
    assert [claim.pairs for claim in at_a_point.claims] == [2, 1, 2]
    assert [len(line.points) for line in at_a_point.curves[0].lines] == [1]
    assert (at_a_point.state, at_a_point.exit_code) == ("interrupted", ExitCode.PASSED)
    whole = measure(runs, profile="full")
    assert (whole.state, len(whole.curves[0].lines[0].points), len(runs.names)) == ("complete", 2, 12)


def test_rows_that_are_measured_one_by_one_are_one_result(runs: Runs) -> None:
    first = measure(runs, 1)
    second = measure(runs, 2)
    assert (second.rows, [claim.row for claim in second.claims], len(runs.names)) == ([1, 2], [1, 2], 4)
    assert (second.claims[0], second.started_at) == (first.claims[0], first.started_at), "what was there stays"
    again = measure(runs, 2)
    assert again.claims[0] == first.claims[0]
    assert again.claims[1].experiment_id != second.claims[1].experiment_id, "what lacks nothing is measured anew"
    fresh = measure(runs, 1, fresh=True)
    assert [claim.experiment_id for claim in fresh.claims if claim.row == 2] == [again.claims[1].experiment_id]
    assert fresh.claims[0].experiment_id != first.claims[0].experiment_id


@pytest.mark.usefixtures("few")
def test_a_row_that_was_interrupted_waits_until_it_is_asked_for(runs: Runs) -> None:
    runs.interrupt = 3
    measure(runs, 1, profile="full")
    other = measure(runs, 2, profile="full")
    assert (other.state, other.exit_code) == ("interrupted", ExitCode.PASSED), "row 2 has its verdict, row 1 is owed"
    whole = measure(runs, profile="full")
    assert (whole.state, [claim.pairs for claim in whole.claims]) == ("complete", [2, 1, 2])
    assert len(runs.names) == 2 * (2 + 1 + 2) + 2 + 1 + 1, "but for the run that was cut short nothing twice"


def test_other_sources_begin_anew(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.interrupt = 3
    first = measure(runs)
    monkeypatch.setattr(claims_kept, "fingerprint", lambda: "changed")
    second = measure(runs)
    assert (second.started_at > first.started_at, second.fingerprint) == (True, "changed")
    assert measure(runs).started_at > second.started_at  # what is complete is no half of anything


def test_an_unknown_row_is_refused(runs: Runs) -> None:
    with pytest.raises(UsageError, match=r"there is no row 7; the rows are 1, 2"):
        measure(runs, 7)
    assert runs.names == []


@pytest.mark.usefixtures("few")
def test_page_and_markdown_hold_claims_and_curves(runs: Runs) -> None:
    found = measure(runs, profile="full")
    found.claims[0].claim = "a <b>|hostile</b> claim"
    page, text = claims_page.render(found), claims_text.render(found)
    assert "<b>|hostile" not in page
    assert "curve-1-c" in page
    assert "| 1 | a &lt;b>\\|hostile" in text
    assert "| repos | plain |" in text
    assert text.count("\n| 1, one switch |") == 1
