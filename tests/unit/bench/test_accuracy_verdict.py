"""`python -m tests.accuracy`: exit codes and what is shown, with parts that are made up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import RunFault
from tests.accuracy import __main__ as program
from tests.accuracy.sheet import Matrix, Row


def _row(error: float, goal: float | None) -> Row:
    return Row("oom", "kills", 50, "count", 50, 50 - error, error, "count", goal, "made up")


def _run(monkeypatch: pytest.MonkeyPatch, *outcomes: Row | Exception, arguments: tuple[str, ...] = ()) -> int:
    async def part(outcome: Row | Exception, matrix: Matrix) -> list[Row]:
        if isinstance(outcome, Exception):
            raise outcome
        matrix.add("made up", "crash")
        return [outcome]

    def parts(**_: Any) -> dict[str, Any]:
        return {
            f"part-{number}": lambda _directory, matrix, _detail, outcome=outcome: part(outcome, matrix)
            for number, outcome in enumerate(outcomes)
        }

    monkeypatch.setattr(program, "parts", parts)
    return program.main(arguments)


@pytest.mark.parametrize(
    ("error", "goal", "code"), [(0, 0, 0), (1, 0, 1), (0.02, 0.03, 0), (0.04, 0.03, 1), (9, None, 0)]
)
def test_a_missed_goal_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: float, goal: float | None, code: int
) -> None:
    assert _run(monkeypatch, _row(0, 0), _row(error, goal)) == code
    said = capsys.readouterr().out
    assert ("MISSED" in said) == (code == 1)
    assert f"accuracy: {2 - code} of 2 rows within their goals" in said


@pytest.mark.parametrize("fault", [RunFault("the run was not over"), PermissionError("no SCHED_RR"), TimeoutError()])
def test_what_could_not_be_measured_is_exit_code_3_and_the_rest_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: Exception
) -> None:
    assert _run(monkeypatch, fault, _row(1, 0)) == 3
    said = capsys.readouterr().out
    assert "NOT MEASURED: part-0: " in said
    assert "MISSED" in said


def test_everything_is_written_as_json_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "accuracy.json"
    assert _run(monkeypatch, _row(1, 0), arguments=("--json", str(path))) == 1
    document = json.loads(path.read_text())
    assert document["schema"] == "harness.accuracy/v1"
    (row,) = document["rows"]
    assert (row["true"], row["measured"], row["error"], row["goal"], row["met"]) == (50, 49, 1, 0, False)
    assert document["endings"] == {"made up": {"crash": 1}}
