"""`harness capacity`: a ladder of counts far from any limit, then real kills under a real one."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import psutil

from harness.analysis import capacity as analysis
from harness.analysis import killrate
from harness.analysis.capacity import Measured, What
from harness.analysis.capacity_runs import rung, told
from harness.analysis.capacity_runs import trial as trial_of
from harness.analysis.regression import Fit
from harness.core.errors import EnvironmentFault, RunFault, UsageError
from harness.core.units import format_value
from harness.experiment import preflight
from harness.experiment.boundary import search
from harness.experiment.capacity_plan import Request
from harness.experiment.machine import describe
from harness.experiment.options import RunOptions
from harness.experiment.series import Interrupted, Series
from harness.record.capacity import Capacity, LadderRun, Trial
from harness.record.writer import write_atomically
from harness.scenario import scaling
from harness.scenario.load import ScenarioFile
from harness.scenario.model import Scenario
from harness.scenario.resolve import resolve
from harness.scenario.scaling import Counted

FILE = "capacity.json"
_MIB, _GIB = 2**20, 2**30
_SHARE_OF_MACHINE = 0.5
"""Of the memory that is free now, what the loose limit may be at most."""
_TIMES = 4
"""The loose limit as a multiple of the real one."""
_LEAST_GROWTH = 8 * _MIB
"""A pilot that grew less than this says nothing about how memory grows; it is repeated with four times the objects."""
_MOST_PILOTS = 4
_MOST_TIMES = 10
"""The ladder goes up to this many times the scenario's own count at most."""
_DIES_GROWING = "it dies while it grows into that many, before it could be restarted with them"
_SIZES = (0.5, 2.0)
"""Multiples of the scenario's own payloads that are measured too, with half of the largest count."""


def prepare(file: ScenarioFile, options: RunOptions, request: Request) -> Counted:
    """Check everything that can be before the first run. Raises UsageError and EnvironmentFault."""
    if request.limit is None and request.count is None:
        raise UsageError("nothing is asked", remedy="give --limit, as 256Mi, or --count, as 8000, or both")
    counted = scaling.counted(file, profile=options.profile, sets=options.sets, objects=request.objects)
    scenario = resolve(file, profile=options.profile, sets=options.sets)
    if (options.memray or scenario.memray) != "off":
        raise UsageError("memray changes how much memory is needed", place=file.name, remedy="--set memray=off")
    trial = scaling.unjudged(scenario, limit=request.limit or _GIB, restart=scaling.restarts(scenario))
    preflight.check([trial], options, file.path.parent)
    return counted


def loose_limit(request: Request, scenario: Scenario) -> int:
    """A limit that the ladder never reaches, and that keeps the machine safe. Raises EnvironmentFault where there is none."""
    wanted = max(_TIMES * (request.limit or scenario.subject.memory_limit or 0), _GIB)
    free = int(psutil.virtual_memory().available * _SHARE_OF_MACHINE)
    if request.limit is not None and free < 1.5 * request.limit:
        raise EnvironmentFault(
            f"half of the free memory is {format_value(free, 'bytes')}: too little to look beyond "
            f"{format_value(request.limit, 'bytes')}", remedy="free memory, or ask for a smaller --limit",
        )  # fmt: skip
    return min(wanted, free)


def run_capacity(series: Series, counted: Counted, request: Request) -> Capacity:
    """Measure what is missing, conclude, and store the result with the series."""
    scenario = resolve(series.file, profile=series.options.profile, sets=series.options.sets)
    climb = _Climb(series, counted, request, scenario)
    try:
        climb.ladder()
        if request.kills:
            climb.boundaries()
        else:
            climb.measured.untried = dict.fromkeys(analysis.WHATS, "no real kills were asked for (--no-kills)")
    except (Interrupted, KeyboardInterrupt):
        climb.measured.interrupted = True
    except BaseException as error:
        series.end(3, str(error), interrupted=False)
        raise
    result = analysis.conclude(climb.measured, datetime.now(UTC))
    write_atomically(series.record.path / FILE, result.model_dump_json(by_alias=True, indent=1) + "\n")
    series.end(result.exit_code, "; ".join(result.reasons) or None, interrupted=climb.measured.interrupted)
    return result


class _Climb:
    """One capacity experiment while it goes on."""

    def __init__(self, series: Series, counted: Counted, request: Request, scenario: Scenario) -> None:
        self._series = series
        self._counted = counted
        self._request = request
        self._scenario = scenario
        self._restart = scaling.restarts(scenario)
        facts, asked = series.facts, series.asked
        asked.setdefault("loose_limit", loose_limit(request, scenario))
        machine = describe()
        self.measured = Measured(
            facts.experiment_id, facts.scenario, facts.profile, counted.parameter, counted.kind, facts.started_at,
            request.limit, request.count, int(asked["loose_limit"]), trial_limit=request.limit,
            machine=f"{machine.cpus} x {machine.cpu_model}, {format_value(machine.memory_bytes, 'bytes')}",
        )  # fmt: skip

    def ladder(self) -> None:
        """Runs that nothing kills, with several counts and sizes."""
        top = self._request.count or (max(self._request.ladder) if self._request.ladder else self._top())
        planned = [*self._rungs(top), *self._sizes(top)]
        random.Random(self._series.facts.seed).shuffle(planned)  # noqa: S311 # an order, no secret
        total = len(self.measured.ladder) + len(planned)
        for key, count, factor in planned:
            self._rung(key, count, factor, total)

    def boundaries(self) -> None:
        """Runs that are killed, under the real limit."""
        measured, budget = self.measured, self._request.budget
        if measured.limit is None and measured.count is not None:
            need = analysis.need("growth", measured.count, analysis.fit_of(measured.ladder, "growth_peak"))
            measured.trial_limit = need.limit_bytes
            if need.limit_bytes is None:
                return
        for what, runs in (("growth", budget.kills), ("cold", budget.cold_kills)):
            self._boundary("growth" if what == "growth" else "cold", runs)

    def _boundary(self, what: What, runs: int) -> None:
        measured, limit = self.measured, self.measured.trial_limit
        assert limit is not None
        memory = analysis.peak_of(what)
        fit = analysis.fit_of(measured.ladder, memory)
        if why := self._untried(what, runs, fit, limit):
            measured.untried[what] = why
            return
        guess = analysis.guess(measured.ladder, fit, memory, limit)
        if guess is None:
            measured.untried[what] = f"nothing says where it reaches {format_value(limit, 'bytes')}"
            return
        highest = _MOST_TIMES * max(self._counted.default, *(run.count for run in measured.ladder))
        if guess > highest:
            measured.untried[what] = f"it would take about {guess:,.0f} objects, more than {highest:,} are not tried"
            return
        most = self._grown(limit) if what == "cold" else math.inf
        if guess > most:
            measured.untried[what] = _DIES_GROWING
            return
        number = iter(range(1, runs + 1))
        search(
            lambda count: self._trial(what, count, limit, next(number), runs), guess, runs=runs, most=most,
            noise=analysis.noise_of(fit, limit), early=self._request.budget.early, found=measured.trials[what].append,
        )  # fmt: skip

    def _grown(self, limit: int) -> float:
        """How many objects it can be restarted with: more kill it while it grows into them."""
        noise = analysis.noise_of(analysis.fit_of(self.measured.ladder, "growth_peak"), limit)
        known = killrate.fit(analysis.as_trials(self.measured.trials["growth"]), noise)
        return math.inf if isinstance(known, str) else math.floor(known.rare.value)

    def _untried(self, what: What, runs: int, fit: Fit | str, limit: int) -> str | None:
        if what == "growth":
            return None
        if not self._restart:
            return "replicas are not restarted together"
        if runs == 0:
            return "not tried in the quick profile"
        grown = analysis.predicted(analysis.fit_of(self.measured.ladder, "growth_peak"), limit)
        cold = analysis.predicted(fit, limit)
        if not isinstance(grown, str) and not isinstance(cold, str) and cold.value >= grown.value:
            return _DIES_GROWING
        return None

    def _top(self) -> int:
        """The largest count of the ladder: about where the real limit is reached, by a run or a few with less."""
        limit = self._request.limit
        assert limit is not None
        most = _MOST_TIMES * max(1, self._counted.default)
        count = max(1, self._counted.default // 4)
        for number in range(1, _MOST_PILOTS + 1):
            pilot = self._rung(f"pilot-{number}-n{count}", count, 1.0, None)
            if not pilot.valid or pilot.growth_peak is None or pilot.idle is None:
                raise RunFault(f"the first run is no measurement: {pilot.reason}", place=pilot.run_id)
            if pilot.idle >= limit:
                raise UsageError(
                    f"idle, without any object, it already needs {format_value(pilot.idle, 'bytes')}",
                    place=f"--limit {format_value(limit, 'bytes')}", remedy="ask for a larger one",
                )  # fmt: skip
            grown = pilot.growth_peak - pilot.idle
            if grown >= _LEAST_GROWTH or count >= most or pilot.growth_peak >= limit / 2:
                break
            count = min(4 * count, most)
        if grown <= 0 or pilot.idle is None:
            return most
        return max(4, min(most, round(count * (limit - pilot.idle) / grown)))

    def _rungs(self, top: int) -> Iterator[tuple[str, int, float]]:
        budget = self._request.budget
        counts: Sequence[int] = self._request.ladder or [max(1, round(share * top)) for share in budget.rungs]
        for count in counts:
            more = budget.top_repeats if count == max(counts) else 0
            for repeat in range(1, budget.repeats + more + 1):
                yield f"n{count}-{repeat}", count, 1.0

    def _sizes(self, top: int) -> Iterator[tuple[str, int, float]]:
        count = max(1, top // 2)
        for factor in _SIZES:
            if scaling.sized(self._scenario, self._counted.phase, factor) is None:
                continue
            for repeat in range(1, self._request.budget.size_repeats + 1):
                yield f"n{count}-x{factor:g}-{repeat}", count, factor

    def _rung(self, key: str, count: int, factor: float, planned: int | None) -> LadderRun:
        scenario, sets = self._with(key, count, self.measured.loose_limit, restart=self._restart)
        if factor != 1.0:
            scenario = scaling.sized(scenario, self._counted.phase, factor) or scenario
        size = "" if factor == 1.0 else f", payloads x {factor:g}"
        what = f"ladder: {count:,} objects{size}"
        before = len(self._series.facts.runs)
        record = self._series.measure(key, scenario, sets, what, planned)
        found = rung(record, self._counted.phase, count, factor)
        self.measured.ladder.append(found)
        self.measured.go |= record.run.subject.runtime == "go"
        self._series.watcher.run_taken(what, told(found), anew=len(self._series.facts.runs) > before)
        return found

    def _trial(self, what: What, count: int, limit: int, number: int, planned: int) -> Trial:
        key = f"{what}-{number}-n{count}"
        scenario, sets = self._with(key, count, limit, restart=what == "cold")
        words = f"under {format_value(limit, 'bytes')}{', restarted' if what == 'cold' else ''}: {count:,} objects"
        before = len(self._series.facts.runs)
        record = self._series.measure(key, scenario, sets, f"{words} ({number} of {planned})", None)
        found = trial_of(record, count, what)
        said = found.outcome if found.reason is None or found.outcome != "invalid" else f"not valid: {found.reason}"
        self._series.watcher.run_taken(words, said, anew=len(self._series.facts.runs) > before)
        return found

    def _with(self, key: str, count: int, limit: int, *, restart: bool) -> tuple[Scenario, dict[str, str]]:
        """The scenario with so many objects under such a limit, and what was set for it."""
        series = self._series
        sets = {**series.options.sets, self._counted.parameter: str(count), "seed": str(series.seed(key))}
        scenario = resolve(series.file, profile=series.options.profile, sets=sets)
        scenario = scaling.unjudged(scenario, limit=limit, restart=restart)
        go = scenario.subject.go
        if go is not None and go.memlimit == "auto" and self._request.limit is not None:
            # What Go does with its memory depends on it: it stays that of the real limit.
            its = go.model_copy(update={"memlimit": int(0.9 * self._request.limit)})
            scenario = scenario.model_copy(update={"subject": scenario.subject.model_copy(update={"go": its})})
        return scenario, sets
