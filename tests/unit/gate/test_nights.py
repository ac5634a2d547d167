"""Nights without a conclusion: one retry, a warning, from the third in a row an alert that fails."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.cli import night
from harness.core.errors import UsageError
from harness.gate import checks, github, junit, nights
from harness.gate.acks import NONE
from harness.record.checks import Checks
from harness.record.gate import Gate
from harness.record.history import History
from tests.ci_gates import STARTED, gate


class Nights:
    """Gates that come out as told, one after another, into one history."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.number = 0

    def call(
        self, *verdicts: str, nightly: bool = True, within: float | None = None, **facts: Any
    ) -> tuple[Checks, int]:
        """One call of the gate, and how many of the verdicts it took."""
        left = list(verdicts)

        def measure() -> Gate:
            self.number += 1
            return gate(
                left.pop(0), experiment_id=f"e{self.number}", started_at=STARTED + timedelta(hours=self.number), **facts
            )

        result, count = night.judge(measure, self.directory, nightly=nightly, within=within)
        found = checks.together([checks.of_gate(result, NONE)], NONE)
        return nights.apply(found, count), len(verdicts) - len(left)


def test_one_retry_decides_the_night(tmp_path: Path) -> None:
    found, taken = Nights(tmp_path).call("inconclusive", "pass")
    assert (found.exit_code, taken, found.warnings) == (0, 2, [])
    assert [entry.verdict for entry in History(tmp_path).entries(kind="gate")] == ["inconclusive", "pass"]
    assert Nights(tmp_path / "b").call("pass", "regress")[1] == 1
    assert Nights(tmp_path / "c").call("inconclusive", "pass", nightly=False)[1] == 1
    assert Nights(tmp_path / "d").call("inconclusive", "pass", interrupted=True, exit_code=130)[1] == 1


def test_the_second_try_begins_only_if_it_can_be_over_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((0.0, 601.0, 0.0, 599.0))
    monkeypatch.setattr(night, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert Nights(tmp_path / "a").call("inconclusive", "pass", within=1200.0)[1] == 1
    assert Nights(tmp_path / "b").call("inconclusive", "pass", within=1200.0)[1] == 2


@pytest.mark.parametrize(("text", "nightly", "says"), [("20", True, "lacks a unit"), ("20m", False, "add --nightly")])
def test_a_time_for_the_second_try_is_checked(text: str, nightly: bool, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        night.within(text, nightly=nightly)
    assert night.within("20m", nightly=True) == 1200.0
    assert night.within(None, nightly=False) is None


def test_a_gate_that_can_decide_nothing_is_not_measured_again(tmp_path: Path) -> None:
    """Six pairs cannot reach 1 %, with one primary metric; seven can."""
    assert Nights(tmp_path / "a").call("inconclusive", "pass", pairs_planned=6)[1] == 1
    assert Nights(tmp_path / "b").call("inconclusive", "pass", pairs_planned=7)[1] == 2


def test_the_third_night_in_a_row_is_an_alert(tmp_path: Path) -> None:
    calls = Nights(tmp_path)
    codes = [calls.call("inconclusive", "inconclusive", "unused")[0] for _ in range(4)]
    assert [found.exit_code for found in codes] == [3, 3, 1, 1]
    assert [found.alert is not None for found in codes] == [False, False, True, True]
    assert "night 2 of 3" in codes[1].warnings[0]
    assert github.lines(codes[2])[0].startswith("::error title=no conclusion")
    assert "3 nights in a row" in junit.render(codes[2])
    assert calls.call("inconclusive", "pass")[0].exit_code == 0
    assert calls.call("inconclusive", "inconclusive")[0].exit_code == 3, "a conclusion begins the count anew"


def test_other_scenarios_and_profiles_are_other_nights(tmp_path: Path) -> None:
    calls = Nights(tmp_path)
    others: list[dict[str, Any]] = [{"scenario": "label-flip"}, {"profile": "quick"}, {}]
    for facts in others:
        assert calls.call("inconclusive", "inconclusive", **facts)[0].exit_code == 3
