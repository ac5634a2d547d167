"""`harness leak`: one run of cycles, judged by what did not come back. The result is derived from the record alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.analysis.leak_points import QUANTITIES
from harness.analysis.leak_result import result
from harness.analysis.verdict import stored_or_judged
from harness.core import units
from harness.core.errors import UsageError
from harness.experiment import preflight
from harness.experiment.arms import run_until_signal
from harness.experiment.options import Observer, RunOptions
from harness.experiment.runner import run_one
from harness.record.leak import FILE, PAGE, Leak
from harness.record.reader import RunRecord
from harness.record.writer import write_atomically
from harness.report import leak_page
from harness.scenario.cycles import MOST_CYCLES, Cycled, cycled
from harness.scenario.hints import suggest
from harness.scenario.load import ScenarioFile
from harness.scenario.resolve import resolve

FEWEST_CYCLES = 10
"""Fewer leave too few points beside the warm-up to say anything."""


@dataclass(frozen=True, slots=True)
class LeakRequest:
    """What the command line asks beside the scenario and the options of its run."""

    cycles: int = 20
    sites: int = 2
    """Cycles after the measured ones in which memray follows allocations; 0: none."""
    quiet_for: float = 1.0
    warm_up: int | None = None
    bounds: Mapping[str, float] = field(default_factory=dict)


def parse_bounds(texts: list[str]) -> dict[str, float]:
    """`--bound heap=64B`, repeated. Raises UsageError."""
    known = {each.name: each for each in QUANTITIES}
    bounds: dict[str, float] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--bound {text!r} is not NAME=VALUE", remedy="write it as --bound heap=64B")
        if name not in known:
            raise UsageError(f"--bound {name!r} is no quantity", remedy=suggest(name, list(known), title="they are"))
        try:
            number = units.parse(value, "bytes") if known[name].unit == "B" else float(value)
        except ValueError as error:
            raise UsageError(f"--bound {text}: {error}") from None
        if not 0 < number < float("inf"):
            raise UsageError(f"--bound {text} is not above 0", remedy="nothing could be cleared by it")
        bounds[name] = number
    return bounds


def plan(file: ScenarioFile, options: RunOptions, request: LeakRequest, *, arm: str | None = None) -> Cycled:
    """The scenario as cycles, checked. Raises UsageError and EnvironmentFault before anything starts."""
    if not FEWEST_CYCLES <= request.cycles <= MOST_CYCLES:
        raise UsageError(f"--cycles {request.cycles} is not from {FEWEST_CYCLES} to {MOST_CYCLES}")
    if file.arms and arm is None:
        raise UsageError(f"scenario {file.name} has arms", remedy=f"choose one: --arm {next(iter(file.arms))}")
    scenario = resolve(file, profile=options.profile, sets=options.sets, arm=arm)
    if scenario.subject.replicas > 1:
        raise UsageError("two replicas hand their work to and fro: measure one", remedy="set replicas to 1")
    planned = cycled(scenario, request.cycles, naming=request.sites, quiet_for=request.quiet_for)
    preflight.check([planned.scenario], options, file.path.parent)
    return planned


def run_leak(
    file: ScenarioFile,
    options: RunOptions,
    request: LeakRequest,
    observer: Observer,
    *,
    arm: str | None = None,
) -> tuple[RunRecord, Leak]:
    """Run the cycles and judge them. Interrupted, the record is sealed and says so."""
    planned = plan(file, options, request, arm=arm)
    if planned.naming_phase is not None:
        options = replace(options, memray="attach", memray_since=planned.naming_phase)
    run = run_one(file, planned.scenario, arm=arm, options=options, observer=observer)
    record = run_until_signal(run)
    observer.step("judging the cycles")
    return record, judge_record(record, request, notes=planned.notes, page=options.report)


def judge_record(record: RunRecord, request: LeakRequest, *, notes: tuple[str, ...] = (), page: bool = True) -> Leak:
    """Judge a stored run, and write `leak.json` and `leak.html` beside it. Raises UsageError where it is no run of cycles."""
    if not any(phase.action == "point" for phase in record.run.phases) and record.run.outcome is not None:
        planned = any(step.get("settle", {}).get("point") for step in record.run.scenario.resolved["load"])
        if not planned:
            raise UsageError(
                "has no measuring points", place=record.run.run_id, remedy="make it with harness leak SCENARIO"
            )
    found = result(record, stored_or_judged(record), bounds=request.bounds, warm_up=request.warm_up, notes=notes)
    write_atomically(record.path / FILE, found.model_dump_json(by_alias=True, indent=1) + "\n")
    if page:
        leak_page.write(found, record.path / PAGE)
    return found
