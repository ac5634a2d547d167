"""`harness gate` and `harness compare` as a user runs them, on a real control plane. What pairs say is for unit tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.process import leftovers
from harness.record import schemas
from harness.record.experiments import ExperimentRecord

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]  # four runs; on a busy machine a minute each

_HARNESS = [sys.executable, "-m", "harness.cli.main"]
_GATE = [
    *_HARNESS, "gate", "calibrated", "--set", "items=40", "--set", "bytes_per_object=1KiB", "--set", "quiet=1s",
    "--baseline", "scenario", "--candidate", "calibrated:noop_writes=2", "--primary", "writes.total=10%",
]  # fmt: skip


def _valid(document: dict[str, Any], schema: str) -> dict[str, Any]:
    jsonschema.validate(document, json.loads((schemas.DIRECTORY / f"{schema}.json").read_text()))
    return document


def test_a_short_gate_measures_pairs_and_too_few_decide_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [*_GATE, "--pairs", "2", "--json", "--out", str(tmp_path)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 3, done.stderr
    gate = _valid(json.loads(done.stdout), "gate.v1")
    assert gate["verdict"] == "inconclusive"
    assert [pair["valid"] for pair in gate["pairs"]] == [True, True]
    assert {tuple(pair["order"]) for pair in gate["pairs"]} == {("baseline", "candidate"), ("candidate", "baseline")}
    assert [(row["baseline"], row["candidate"]) for row in gate["primary"][0]["values"]] == [(40, 120), (40, 120)]
    assert "pair 1 " in done.stderr
    record = ExperimentRecord.open(gate["experiment_id"], tmp_path)
    assert record.gate is not None
    assert record.gate.model_dump(mode="json", by_alias=True) == gate
    experiment = json.loads((record.path / "experiment.json").read_text())
    assert _valid(experiment, "experiment.v1")["state"] == "complete"
    page = (record.path / "report.html").read_text()
    assert all(run_id in page for pair in gate["pairs"] for run_id in pair["runs"].values())
    runs = record.runs()
    assert [run.run.seed for run in runs[:2]] == [gate["pairs"][0]["seed"]] * 2
    assert runs[0].run.seed != runs[2].run.seed
    again = subprocess.run(
        [*_HARNESS, "gate", "--rejudge", gate["experiment_id"], "--json", "--out", str(tmp_path)],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert (again.returncode, json.loads(again.stdout)) == (3, gate), again.stderr
    _compared(tmp_path, gate["experiment_id"])


def _compared(directory: Path, experiment: str) -> None:
    names = [f"{experiment}:baseline", f"{experiment}:candidate"]
    done = subprocess.run(
        [*_HARNESS, "compare", *names, "--json", "--out", str(directory)], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found = _valid(json.loads(done.stdout), "compare.v1")
    assert found["repeats"] == "pairs"
    assert [item["what"] for item in found["differences"]] == ["subject options"]
    lines = {line["metric"]: line for line in found["metrics"]}
    assert lines["writes.noop"]["effect"] == 80
    assert lines["writes.total"]["effect"] == pytest.approx(2.0)


def test_an_interrupted_gate_leaves_a_readable_experiment(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [*_GATE, "--out", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    deadline = time.monotonic() + 120
    while not (runs := list(tmp_path.glob("*/run.json"))) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert runs
    child.send_signal(signal.SIGINT)
    output, _ = child.communicate(timeout=240)
    assert child.returncode == 130, output
    (path,) = tmp_path.glob("experiments/*")
    record = ExperimentRecord(path)
    assert record.interrupted
    assert record.experiment.message == "interrupted after 1 of 12 pairs"
    assert record.gate is not None
    assert (record.gate.verdict, record.gate.interrupted) == ("inconclusive", True)
    assert not leftovers(runs[0].parent.name)
