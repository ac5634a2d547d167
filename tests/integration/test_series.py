"""`harness capacity` and `harness sweep` as a user runs them, on a real control plane. What runs say is for unit tests."""

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

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]  # two runs with a cluster each, on a busy machine too

_HARNESS = [sys.executable, "-m", "harness.cli.main"]
_LIMIT_S = 280  # of each wait


def _valid(path: Path, schema: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(document, json.loads((schemas.DIRECTORY / f"{schema}.json").read_text()))
    return document


def test_an_interrupted_capacity_keeps_its_first_rung_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """One real rung with a restart, then Ctrl-C in the second: what there is can be read, and says so."""
    command = [
        *_HARNESS, "capacity", "calibrated", "--count", "60", "--ladder", "20,40,60", "--no-kills", "--profile", "quick",
        "--set", "items=60", "--set", "bytes_per_object=64KiB", "--set", "latency=0", "--json", "--out", str(tmp_path),
    ]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + _LIMIT_S
    while len(runs := sorted(tmp_path.glob("*/run.json"))) < 2 and time.monotonic() < deadline and child.poll() is None:
        time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=_LIMIT_S)
    assert child.returncode == 130, err
    assert len(runs) == 2
    (path,) = tmp_path.glob("experiments/*/capacity.json")
    found = _valid(path, "capacity.v1")
    assert json.loads(out) == found
    (rung,) = found["ladder"]
    assert (rung["valid"], found["interrupted"], found["exit_code"]) == (True, True, 130), rung
    # Each Item is held with 64 KiB: the truth is known, and a page table or two comes with it.
    assert rung["growth_settled"] - rung["idle"] >= rung["count"] * 64 * 1024
    assert rung["cold_peak"] >= rung["cold_settled"] > rung["idle"]
    assert "run is interrupted" not in err
    assert (path.parent / "capacity.html").is_file()
    experiment = ExperimentRecord.open(path.parent).experiment
    assert (experiment.state, experiment.kind, len(experiment.runs)) == ("interrupted", "capacity", 1)
    _valid(path.parent / "experiment.json", "experiment.v1")
    for run in runs:
        assert [item.command for item in leftovers(run.parent.name)] == []


def test_a_sweep_measures_a_combination_and_says_when_it_was_too_short(tmp_path: Path) -> None:
    """Ten Items are too little work for a rate: no recommendation, exit code 3, and the reason."""
    command = [
        *_HARNESS, "sweep", "calibrated", "--vary", "latency=5ms", "--repeats", "1", "--set", "items=10", "--json",
        "--out", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S)
    assert done.returncode == 3, done.stderr
    (path,) = tmp_path.glob("experiments/*/sweep.json")
    found = _valid(path, "sweep.v1")
    assert json.loads(done.stdout) == found
    (run,) = found["runs"]
    assert "give it more to do" in run["reason"]
    assert run["figures"]["reconciles.total"] >= 10
    assert found["recommended"] is None
    assert "latency=5ms" in done.stderr
    assert (path.parent / "sweep.html").is_file()
