"""A scenario with every step of the load vocabulary, as a user runs it, on a real control plane."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.record.reader import RunRecord

pytestmark = pytest.mark.cluster

SCENARIO = """\
name: vocabulary
summary: Every step of the load, each short.
seed: 3
subject: {controller: fleet}
load:
  - create: {kind: Secret, count: 300, size: {lognormal: {median: 1KB, sigma: 1.5}, max: 100KB}, namespaces: 3}
  - create: {kind: GitRepo, count: 10, bundles: 2, rate: {poisson: 20/s}}
  - watch: {kind: Secret, watchers: 3}
  - parallel:
      - create: {kind: Secret, count: 60, size: 100, rate: {burst: {size: 20, every: 500ms}}}
      - read: {kind: Secret, count: 60, rate: {ramp: [20/s, 60/s], over: 1s}}
      - patch: {kind: GitRepo, annotations: {touched: "yes"}, count: 5, rate: {steps: [5/s, 20/s], each: 500ms}}
  - list: {kind: Secret, count: 2, page_size: 100}
  - list: {kind: Secret, count: 2, selector: {absent: label}, metadata_only: true}
  - churn: {kind: GitRepo, percentage: 50%, cycles: 2, delay: 500ms}
  - delete: {kind: Secret, count: 100, rate: 50/s}
  - delete: {kind: GitRepo, count: 4}
  - pause: 500ms
  - read: {kind: Secret, count: 3000, rate: {step_until_failure: [50/s, 100/s], by: 50/s, each: 5s}}
  - settle: {quiet_for: 2s, timeout: 1m}
collect: [memory, latency]
expect: [completeness.Secret == 1, completeness.GitRepo == 1, completeness.Bundle == 1]
"""


def test_every_step_does_what_it_says(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.yaml"
    path.write_text(SCENARIO)
    command = [sys.executable, "-m", "harness.cli.main", "run", str(path), "--out", str(tmp_path / "runs"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    shown: dict[str, Any] = json.loads(done.stdout)
    # A machine too busy for these rates makes the run invalid, and rightly; what was done is the same.
    assert [reason for reason in shown["reasons"] if "could not keep up" not in reason] == [], done.stderr
    assert [item for item in shown["expectations"] if not item["ok"]] == []
    assert done.returncode == (3 if shown["reasons"] else 0)
    record = RunRecord(Path(shown["path"]))
    phases = {phase.name: phase for phase in record.run.phases}
    seeking = phases["read-Secret-2"]
    assert seeking.until_failure
    assert (seeking.done, seeking.sustained_per_s) in {(250, None), (750, 50.0), (750, 100.0)}
    counts = {
        name: (phase.requested, phase.done, phase.failed) for name, phase in phases.items() if phase.done is not None
    }
    assert counts == {
        "create-Secret": (300, 300, 0),
        "create-GitRepo": (10, 10, 0),
        "watch-Secret": (3, 3, 0),
        "create-Secret-2": (60, 60, 0),
        "read-Secret": (60, 60, 0),
        "patch-GitRepo": (5, 5, 0),
        "list-Secret": (2, 2, 0),
        "list-Secret-2": (2, 2, 0),
        "churn-GitRepo": (20, 20, 0),
        "delete-Secret": (100, 100, 0),
        "delete-GitRepo": (4, 4, 0),
        "read-Secret-2": (seeking.done, seeking.done, 0),
    }
    # Steps of one group ran at the same time.
    together = [phases[name] for name in ("create-Secret-2", "read-Secret", "patch-GitRepo")]
    assert max(phase.started_ns for phase in together) < min(phase.ended_ns or 0 for phase in together)
    assert phases["pause-1"].action == "pause"
    assert {item.kind: item.count for item in record.run.expected} == {"Secret": 260, "GitRepo": 6, "Bundle": 12}
    # What the phases were asked for, on average: three bursts in 1.5 s, a ramp, two steps.
    assert phases["create-Secret-2"].requested_per_s == 40.0
    verbs = dict(record.sql("SELECT verb, count(*) FROM requests WHERE error IS NULL GROUP BY verb"))
    # Two lists of 360 Secrets by 100 are four pages each.
    assert verbs == {"create": 380, "get": 60 + (seeking.done or 0), "patch": 5, "list": 10, "delete": 114, "watch": 3}
    # Three watchers read 300 Secrets, then what came and went: 60 created, 100 deleted, each.
    (events,) = record.sql("SELECT max(value) FROM samples WHERE metric = 'load.watch_events'")[0]
    assert events >= 3 * (300 + 60 + 100)
    (open_,) = record.sql("SELECT arg_max(value, t_ns) FROM samples WHERE metric = 'load.watchers'")[0]
    assert open_ == 3
    assert "step_until_failure" in (Path(shown["path"]) / "report.html").read_text()
