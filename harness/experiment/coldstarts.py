"""`harness coldstart`: one run that grows, restarts and loses its API server; the result is derived from the record alone."""

from __future__ import annotations

from harness.analysis.coldstart import result
from harness.analysis.verdict import stored_or_judged
from harness.core.errors import UsageError
from harness.experiment import preflight
from harness.experiment.arms import run_until_signal
from harness.experiment.options import Observer, RunOptions
from harness.experiment.runner import run_one
from harness.record.coldstart import FILE, Coldstarts
from harness.record.reader import RunRecord
from harness.record.writer import write_atomically
from harness.scenario.cold import cold
from harness.scenario.load import ScenarioFile
from harness.scenario.resolve import resolve


def run_coldstart(
    file: ScenarioFile,
    options: RunOptions,
    observer: Observer,
    *,
    restarts: int,
    storms: int,
    quiet_for: float,
    arm: str | None = None,
) -> tuple[RunRecord, Coldstarts]:
    """Run and measure. Raises UsageError and EnvironmentFault before anything starts."""
    scenario = resolve(file, profile=options.profile, sets=options.sets, arm=arm)
    if scenario.subject.replicas > 1:
        raise UsageError("two replicas fail over, they do not start cold: measure one", remedy="set replicas to 1")
    planned = cold(scenario, restarts, storms, quiet_for=quiet_for)
    preflight.check([planned.scenario], options, file.path.parent)
    record = run_until_signal(run_one(file, planned.scenario, arm=arm, options=options, observer=observer))
    found = result(record, stored_or_judged(record), planned.notes)
    write_atomically(record.path / FILE, found.model_dump_json(by_alias=True, indent=1) + "\n")
    return record, found
