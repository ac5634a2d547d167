"""`harness capacity` and `harness sweep`: what is wrong on the command line is one line and exit code 2, before any run."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.analysis import capacity
from harness.analysis.capacity import Measured
from harness.cli import sweep
from harness.cli.main import command_line
from harness.core.errors import UsageError
from harness.record.experiments import ExperimentRecord
from harness.record.models import Experiment
from tests.records import STARTED

_CAPACITY, _SWEEP = ("capacity", "secrets-8k"), ("sweep", "label-flip")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("capacity",), "capacity needs a SCENARIO"),
        (_CAPACITY, "nothing is asked"),
        (("capacity", "secrets-9k", "--limit", "1Gi"), "unknown scenario 'secrets-9k'"),
        ((*_CAPACITY, "--limit", "256Mo"), "--limit: unit 'Mo' of '256Mo' is not one of"),
        ((*_CAPACITY, "--limit", "100K"), "--limit 100K is less than 1 MiB"),
        ((*_CAPACITY, "--limit", "1Gi", "--ladder", "1,x"), "--ladder '1,x' is not a list of counts"),
        ((*_CAPACITY, "--limit", "1Gi", "--ladder", "5,9"), "--ladder needs at least 3 counts"),
        ((*_CAPACITY, "--limit", "1Gi", "--objects", "secret"), "'secret' is not the count of a create step; did you"),
        ((*_CAPACITY, "--limit", "1Gi", "--profile", "fast"), "scenario secrets-8k has no profile 'fast'"),
        ((*_CAPACITY, "--limit", "1Gi", "--set", "memray=launch"), "memray changes how much memory is needed"),
        (("capacity", "--resume", "zzz"), "no experiment 'zzz' in"),
        ((*_CAPACITY, "--resume", "zzz"), "--resume takes all from the experiment"),
        (("sweep",), "sweep needs a SCENARIO and --vary"),
        (_SWEEP, "sweep needs a SCENARIO and --vary"),
        ((*_SWEEP, "--vary", "workers"), "--vary 'workers' is not KEY=VALUE,VALUE"),
        ((*_SWEEP, "--vary", "workers=1,,2"), "--vary 'workers=1,,2' is not KEY=VALUE,VALUE"),
        ((*_SWEEP, "--vary", "workers=1,1"), "--vary workers=1,1: a value stands twice"),
        ((*_SWEEP, "--vary", "workers=1", "--vary", "workers=2"), "workers is varied twice"),
        ((*_SWEEP, "--vary", "workers=1", "--set", "workers=2"), "workers is both set and varied"),
        ((*_SWEEP, "--vary", "wrokers=1,2"), "--vary wrokers=1: unknown parameter 'wrokers'; did you mean 'workers'?"),
        ((*_SWEEP, "--vary", "workers=1,2", "--by", "latency.flap.p99"), "--by latency.flap.p99: no probe 'flap'"),
        ((*_SWEEP, "--vary", "workers=1,2", "--by", "load.requests"), "neither more nor less of load.requests is better"),
        ((*_SWEEP, "--vary", f"workers={','.join(map(str, range(1, 200)))}"), "these are 597 runs, more than 500"),
        (("sweep", "--resume", "zzz", "--by", "x"), "--resume takes all from the experiment"),
    ],
)  # fmt: skip
def test_bad_usage(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command_line(("capacity", "sweep")), arguments)
    assert isinstance(done.exception, UsageError), done.output
    assert message in str(done.exception)
    assert not list(tmp_path.glob("**/experiment.json"))


def test_the_page_of_a_stored_result_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = ExperimentRecord(tmp_path / "experiments" / "20261122-071431-d4kfm")
    record.save(
        Experiment(
            experiment_id=record.path.name, scenario="s", started_at=STARTED, runs=[], exit_code=0, kind="capacity"
        )
    )
    done = CliRunner().invoke(command_line(("report",)), ("report", str(record.path)))
    assert done.exit_code == 0, done.exception
    assert done.output.strip() == str(record.path / "report.html"), "without a result it has the page of its runs"
    measured = Measured(record.path.name, "mine", None, "n", "Secret", STARTED, 2**27, None, 2**30)
    result = capacity.conclude(measured, STARTED)
    (record.path / "capacity.json").write_text(result.model_dump_json(by_alias=True))
    done = CliRunner().invoke(command_line(("report",)), ("report", str(record.path)))
    assert done.exit_code == 0, done.exception
    assert "Capacity of mine" in (record.path / "capacity.html").read_text()


def test_commas_in_brackets_belong_to_a_value() -> None:
    assert sweep._vary(["size=[2KB, 5KB],[8KB, 9KB]", "x=1,2"]) == {
        "size": ["[2KB, 5KB]", "[8KB, 9KB]"],
        "x": ["1", "2"],
    }
