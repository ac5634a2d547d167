"""`harness leak`: what is wrong on the command line is one line and exit code 2, before any run; stored runs are judged again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli.main import command_line
from harness.core.errors import UsageError
from harness.record.leak import Leak
from tests.records import passing
from tests.unit.analysis.test_leak import KIB, MIB, record, rising


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "it needs a SCENARIO"),
        (("laek",), "unknown scenario 'laek'"),
        (("leak", "--cycles", "3"), "--cycles 3 is not from 10 to 500"),
        (("leak", "--bound", "heap"), "--bound 'heap' is not NAME=VALUE"),
        (("leak", "--bound", "heep=1B"), "did you mean 'heap'"),
        (("leak", "--bound", "heap=0B"), "is not above 0"),
        (("leak", "--bound", "tasks=nan"), "is not above 0"),
        (("leak", "--quiet-for", "5"), "--quiet-for"),
        (("leak", "--quiet-for", "1ms"), "is not from 100ms to 1m"),
        (("smoke",), "scenario smoke has arms"),
        (("failover",), "two replicas"),
        (("leak", "--record", "zzz"), "--record takes all from the run"),
        (("--record", "zzz"), "no run 'zzz' here"),
    ],
)  # fmt: skip
def test_bad_usage(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command_line(("leak",)), ["leak", *arguments])
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)
    assert not list(tmp_path.glob("runs/*/run.json"))


def test_a_stored_run_is_judged_again_by_other_bounds(tmp_path: Path) -> None:
    record(tmp_path / "r", {"memory.heap": rising(40 * MIB, 50 * KIB)})
    app = command_line(("leak",))
    strict = CliRunner().invoke(app, ["leak", "--record", str(tmp_path / "r"), "--json"])
    assert strict.exit_code == 1
    leak = Leak.model_validate(json.loads(strict.stdout))
    assert leak.findings[0].series == "heap"
    page = (tmp_path / "r" / "leak.html").read_text()
    assert "LEAK" in page
    assert leak.findings[0].sentence in page
    loose = CliRunner().invoke(app, ["leak", "--record", str(tmp_path / "r"), "--bound", "heap=1KiB"])
    assert loose.exit_code == 0
    assert "CLEAR" in loose.stdout
    assert json.loads((tmp_path / "r" / "leak.json").read_text())["verdict"] == "clear"


def test_a_run_without_points_is_refused(tmp_path: Path) -> None:
    passing(tmp_path / "r")
    done = CliRunner().invoke(command_line(("leak",)), ["leak", "--record", str(tmp_path / "r")])
    assert isinstance(done.exception, UsageError)
    assert "has no measuring points" in str(done.exception)
    assert not (tmp_path / "r" / "leak.json").exists()
