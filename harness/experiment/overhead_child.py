"""One run of `harness overhead`, in a process of its own: peaks of memory are those of a process.

`python -m harness.experiment.overhead_child SCENARIO OUT COLLECTORS MEMRAY PYROSCOPE` prints the path of the record.
"""

from __future__ import annotations

import sys
from pathlib import Path

from harness.core.errors import HarnessError
from harness.experiment.arms import run_scenario
from harness.experiment.options import RunOptions, Status
from harness.record.models import Verdict
from harness.record.reader import RunRecord
from harness.scenario.load import load
from harness.scenario.model import Scenario


class _Silent:
    """An observer that shows nothing."""

    def run_started(self, run_id: str, scenario: Scenario, arm: str | None, directory: Path) -> None:
        """Nothing is shown."""

    def step(self, text: str) -> None:
        """Nothing is shown."""

    def detail(self, text: str) -> None:
        """Nothing is shown."""

    def phase_started(self, phase: str, requested: int | None) -> None:
        """Nothing is shown."""

    def tick(self, status: Status) -> None:
        """Nothing is shown."""

    def phase_ended(self, phase: str, sentence: str) -> None:
        """Nothing is shown."""

    def run_ended(self, record: RunRecord, verdict: Verdict) -> None:
        """Nothing is shown."""


def main(arguments: list[str]) -> int:
    """Run it; the exit code is 0 where there is a record."""
    scenario, out, collectors, memray, pyroscope = arguments
    names = tuple(name for name in collectors.split(",") if name)
    options = RunOptions(
        out=Path(out), collectors=(*names, "meter"), memray=memray, pyroscope=pyroscope, report=False, pin=False
    )
    try:
        outcome = run_scenario(load(scenario), options, _Silent())
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    sys.stdout.write(str(outcome.records[0].path))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
