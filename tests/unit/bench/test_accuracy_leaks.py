"""Leaks whose truth is known: what counts as found, what a failed run costs, and that no run is made twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import RunFault
from tests.accuracy import leaks

REPEATS = 3
Answer = Mapping[str, Any] | Exception


def _answer(verdict: str, **behaviours: str) -> dict[str, Any]:
    series = [
        {"name": name, "behaviour": behaviours.get(name, "steady"), "slope": 1.0, "threshold": None}
        for name in ("heap", "series")
    ]
    return {"verdict": verdict, "run_id": "made-up", "headline": "told", "series": series}


RIGHT = {
    "helm_cache=leaking": _answer("leak", heap="grows"),
    "metrics=unbounded": _answer("leak", series="grows"),
    "bounded": _answer("clear"),
}


@dataclass
class Twice:
    """A run that is made again: what it says first, and then."""

    first: Answer
    then: Answer


class Harness:
    """Answers as told in place of `harness leak`, and counts the calls."""

    def __init__(self, answers: Mapping[str, Answer | Twice]) -> None:
        self.answers = answers
        """By the directory of the run, else by the form's name."""
        self.called: list[str] = []

    async def __call__(self, arguments: Sequence[str], *, runs: Path, log: Path, timeout_s: float) -> Mapping[str, Any]:
        name = runs.parent.name
        self.called.append(name)
        answer = self.answers.get(name, self.answers[name.partition("-")[2]])
        if isinstance(answer, Twice):
            answer = answer.first if self.called.count(name) == 1 else answer.then
        if isinstance(answer, Exception):
            raise answer
        return answer


def _measure(
    monkeypatch: pytest.MonkeyPatch, directory: Path, answers: Mapping[str, Answer | Twice] = RIGHT
) -> tuple[Harness, dict[str, float | None]]:
    harness = Harness(answers)
    monkeypatch.setattr(leaks, "harness_json", harness)
    rows = asyncio.run(leaks.measure(directory, lambda _: None, REPEATS))
    assert all(row.n == REPEATS for row in rows)
    return harness, {row.quantity.partition(":")[0] + row.quantity[-6:]: row.error for row in rows}


def test_all_found_and_no_false_alarm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    harness, errors = _measure(monkeypatch, tmp_path)
    assert len(harness.called) == REPEATS * 3
    assert set(errors.values()) == {0.0}
    assert len(errors) == 4


@pytest.mark.parametrize(
    ("run", "answer", "wrong"),
    [
        ("1-helm_cache=leaking", _answer("clear"), 1),
        ("1-helm_cache=leaking", _answer("leak", series="grows"), 1),
        ("1-metrics=unbounded", _answer("leak", heap="grows"), 1),
        ("1-metrics=unbounded", _answer("inconclusive", series="grows"), 1),
        ("1-bounded", _answer("inconclusive"), 1),
        ("1-bounded", _answer("leak"), 2),
    ],
)
def test_another_answer_is_an_error_and_a_leak_of_the_bounded_form_a_false_alarm_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: str, answer: dict[str, Any], wrong: int
) -> None:
    _, errors = _measure(monkeypatch, tmp_path, {**RIGHT, run: answer})
    assert sum(value or 0.0 for value in errors.values()) == wrong


@pytest.mark.parametrize(
    "first",
    [
        RunFault("the run was not over"),
        _answer("error"),
        _answer("invalid", heap="grows"),
        {**_answer("leak"), "series": []},
    ],
    ids=["fault", "error", "invalid", "no heap"],
)
def test_what_measured_nothing_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: Answer) -> None:
    harness, errors = _measure(monkeypatch, tmp_path, {**RIGHT, "1-bounded": Twice(first, RIGHT["bounded"])})
    assert harness.called.count("1-bounded") == 2
    assert len(harness.called) == REPEATS * 3 + 1
    assert set(errors.values()) == {0.0}


def test_a_run_without_a_result_costs_no_other_and_only_it_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken: dict[str, Answer | Twice] = {
        **RIGHT,
        "0-bounded": RunFault("the run was not over"),
        "2-bounded": _answer("error"),
    }
    with pytest.raises(RunFault, match=r"2 of 9 runs gave no result .*bounded 1\b.*--keep"):
        _measure(monkeypatch, tmp_path, broken)
    assert len(list(tmp_path.glob("*/result.json"))) == 7
    harness, errors = _measure(monkeypatch, tmp_path)
    assert sorted(harness.called) == ["0-bounded", "2-bounded"]
    assert set(errors.values()) == {0.0}


def test_what_is_kept_counts_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kept = tmp_path / "0-bounded"
    kept.mkdir()
    (kept / leaks.RESULT).write_text(json.dumps(_answer("leak", heap="grows")))
    harness, errors = _measure(monkeypatch, tmp_path)
    assert "0-bounded" not in harness.called
    assert sum(value or 0.0 for value in errors.values()) == 2
