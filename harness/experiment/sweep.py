"""`harness sweep`: a scenario with every combination of values, in a drawn order, repeated."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product

from harness.analysis import sweep as analysis
from harness.analysis.sweep_runs import THROUGHPUT, dimension, figures
from harness.core import metrics
from harness.core.errors import UsageError
from harness.core.units import format_value
from harness.experiment import pairs, preflight
from harness.experiment.machine import describe
from harness.experiment.options import RunOptions
from harness.experiment.series import Interrupted, Series
from harness.record.sweep import Sweep
from harness.record.writer import write_atomically
from harness.scenario.load import ScenarioFile
from harness.scenario.names import causing
from harness.scenario.resolve import resolve

FILE = "sweep.json"
MOST_RUNS = 500


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asks beside the scenario and the options of its runs."""

    vary: Mapping[str, Sequence[str]]
    repeats: int
    by: str = THROUGHPUT

    @property
    def combinations(self) -> list[dict[str, str]]:
        """Every one, the last parameter varying fastest."""
        return [dict(zip(self.vary, values, strict=True)) for values in product(*self.vary.values())]


def prepare(file: ScenarioFile, options: RunOptions, request: Request) -> None:
    """Check every combination before the first run. Raises UsageError and EnvironmentFault."""
    runs = len(request.combinations) * request.repeats
    if runs > MOST_RUNS:
        raise UsageError(f"these are {runs} runs, more than {MOST_RUNS}", remedy="vary less, or repeat less often")
    for name in request.vary:
        if name in options.sets:
            raise UsageError(f"{name} is both set and varied", place=f"--vary {name}", remedy="leave out one")
    scenarios = []
    for values in request.combinations:
        try:
            scenario = resolve(file, profile=options.profile, sets={**options.sets, **values})
        except UsageError as error:
            if not (error.place or "").startswith("--set "):
                raise
            place = "--vary" + (error.place or "").removeprefix("--set")
            raise UsageError(error.cause, place=place, remedy=error.remedy) from None
        pairs.check_fixed_work(scenario, file.name)
        if (options.memray or scenario.memray) != "off":
            raise UsageError("memray changes what is measured", place=file.name, remedy="--set memray=off")
        scenarios.append(scenario)
    if request.by != THROUGHPUT:
        probes = [probe.name for phase in causing(scenarios[0]) for probe in phase.step.probes]
        try:
            direction = metrics.resolve(request.by, probes=probes).metric.direction
        except ValueError as error:
            raise UsageError(str(error), place=f"--by {request.by}") from None
        if direction == "none":
            raise UsageError(f"neither more nor less of {request.by} is better", place=f"--by {request.by}")
    preflight.check(scenarios, options, file.path.parent)


def run_sweep(series: Series, request: Request) -> Sweep:
    """Measure what is missing, conclude, and store the result with the series."""
    facts, machine = series.facts, describe()
    unit = "1/s" if request.by == THROUGHPUT else metrics.resolve(request.by).metric.unit
    result = Sweep(
        experiment_id=facts.experiment_id, scenario=facts.scenario, profile=facts.profile, started_at=facts.started_at,
        machine=f"{machine.cpus} x {machine.cpu_model}, {format_value(machine.memory_bytes, 'bytes')}",
        vary={name: list(values) for name, values in request.vary.items()}, repeats=request.repeats, by=request.by,
        unit=unit, runs=[], cells=[], knees=[], exit_code=3,
    )  # fmt: skip
    try:
        for repeat, values in _order(facts.seed or 0, request):
            _measure(series, request, result, repeat, values)
    except (Interrupted, KeyboardInterrupt):
        result.interrupted = True
    except BaseException as error:
        series.end(3, str(error), interrupted=False)
        raise
    result.ended_at = datetime.now(UTC)
    analysis.conclude(result)
    write_atomically(series.record.path / FILE, result.model_dump_json(by_alias=True, indent=1) + "\n")
    series.end(result.exit_code, "; ".join(result.reasons) or None, interrupted=result.interrupted)
    return result


def _order(seed: int, request: Request) -> list[tuple[int, dict[str, str]]]:
    """Every combination once, in a drawn order, then again in another: what drifts meets all alike."""
    drawn = random.Random(seed)  # noqa: S311 # an order, no secret
    planned = []
    for repeat in range(1, request.repeats + 1):
        block = request.combinations
        drawn.shuffle(block)
        planned += [(repeat, values) for values in block]
    return planned


def _measure(series: Series, request: Request, result: Sweep, repeat: int, values: dict[str, str]) -> None:
    words = analysis.words(values)
    # All combinations of one round get the same seed, so the same load.
    sets = {**series.options.sets, **values}
    if "seed" not in request.vary:
        sets["seed"] = str(series.seed(f"round {repeat}"))
    scenario = resolve(series.file, profile=series.options.profile, sets=sets)
    before = len(series.facts.runs)
    planned = len(request.combinations) * request.repeats
    record = series.measure(f"{words} #{repeat}", scenario, sets, words, planned)
    run = figures(record, values, request.by)
    result.runs.append(run)
    value = run.figures.get(request.by)
    said = f"not valid: {run.reason}"
    if run.valid and value is not None:
        said = f"{request.by} {format_value(value, dimension(request.by))}"
    series.watcher.run_taken(words, said, anew=len(series.facts.runs) > before)
