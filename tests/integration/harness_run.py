"""`harness run` as a user runs it, for the tests of this directory: nothing of a run may be left afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness.process import leftover_cgroups, leftovers
from harness.record.reader import RunRecord

HARNESS = [sys.executable, "-m", "harness.cli.main"]
LIMIT_S = 300


def run(directory: Path, scenario: str | dict[str, Any], *options: str) -> tuple[int, dict[str, Any], RunRecord]:
    """Exit code, what `--json` shows and the record; `scenario` is a shipped one's name, or one in Python."""
    name = scenario
    if isinstance(scenario, dict):
        path = directory / f"{scenario['name']}.yaml"
        path.write_text(json.dumps(scenario))  # JSON is YAML, without anchors
        name = str(path)
    command = [*HARNESS, "run", str(name), "--out", str(directory / "runs"), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stdout, done.stderr
    shown = json.loads(done.stdout)
    assert [item.command for item in leftovers(shown["run_id"])] == []
    assert [item.path for item in leftover_cgroups(shown["run_id"])] == []
    return done.returncode, shown, RunRecord(Path(shown["path"]))
