"""From the runs of `harness sweep` to a table, knees, and the value to choose with its reasons."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from harness.analysis import knee, regression
from harness.analysis.regression import Observation
from harness.analysis.sweep_runs import THROUGHPUT, dimension, lower_is_better
from harness.core.errors import ExitCode
from harness.core.units import format_value
from harness.record.capacity import Interval
from harness.record.sweep import Sweep, SweepCell, SweepKnee, SweepRun

SAME = 0.05
"""Share of the best that is not worth a larger value."""
_UNEQUAL = 0.10
"""Difference of reconciles for the same load from which a warning says so."""


def conclude(sweep: Sweep) -> Sweep:
    """Fill in cells, knees, memory per task, the recommendation, reasons and exit code from the runs."""
    combinations = [dict(zip(sweep.vary, values, strict=True)) for values in product(*sweep.vary.values())]
    sweep.cells = [_cell(values, [run for run in sweep.runs if run.values == values]) for values in combinations]
    sweep.knees = list(_knees(sweep))
    sweep.memory_per_task = _per_task(sweep.runs)
    _recommend(sweep)
    missing = [cell for cell in sweep.cells if not cell.runs]
    sweep.warnings += [f"{words(cell.values)}: {reason}" for cell in sweep.cells for reason in cell.left_out]
    sweep.warnings += list(_unequal_work(sweep))
    if sweep.interrupted:
        sweep.exit_code = ExitCode.INTERRUPTED
    elif sweep.recommended is None or missing:
        sweep.exit_code = ExitCode.INVALID
        if missing and sweep.recommended is not None:
            sweep.reasons.append(f"no valid run with {', '.join(words(cell.values) for cell in missing)}")
    else:
        sweep.exit_code = ExitCode.PASSED
    return sweep


def _unequal_work(sweep: Sweep) -> Iterator[str]:
    """The load is the same in all cells; where reconciles are not, a higher rate of them may be more work for the same."""
    done = [value for cell in sweep.cells if (value := cell.figures.get("reconciles.total"))]
    if sweep.by == THROUGHPUT and done and max(done) > (1 + _UNEQUAL) * min(done):
        yield (
            f"the same load took {min(done):,.0f} to {max(done):,.0f} reconciles: throughput counts those that others did not "
            "need; look at a latency too (--by latency.PROBE.p99)"
        )


def words(values: Mapping[str, str]) -> str:
    """`workers=50 status_patch=changed`."""
    return " ".join(f"{name}={value}" for name, value in values.items())


def numbers(values: Sequence[str]) -> list[float] | None:
    """The values as positive numbers; None where one is none."""
    try:
        found = [float(value) for value in values]
    except ValueError:
        return None
    return found if all(number > 0 and math.isfinite(number) for number in found) else None


def _cell(values: dict[str, str], runs: Sequence[SweepRun]) -> SweepCell:
    valid = [run for run in runs if run.valid]
    names = dict.fromkeys(name for run in valid for name in run.figures)
    means: dict[str, float | None] = {}
    for name in names:
        found = [value for run in valid if (value := run.figures.get(name)) is not None]
        means[name] = statistics.fmean(found) if found else None
    left_out = [f"run {run.run_id} is not used: {run.reason}" for run in runs if not run.valid]
    return SweepCell(values=values, runs=len(valid), left_out=left_out, figures=means)


def _knees(sweep: Sweep) -> Iterator[SweepKnee]:
    """Of each parameter whose values are numbers, at each combination of the others."""
    worse = lower_is_better(sweep.by)
    for name, values in sweep.vary.items():
        if len(values) < 2 or numbers(values) is None:
            continue
        others = {other: found for other, found in sweep.vary.items() if other != name}
        for combination in product(*others.values()):
            at = dict(zip(others, combination, strict=True))
            points = [
                (float(run.values[name]), 1 / value if worse else value)
                for run in sweep.runs
                if run.valid and all(run.values[key] == it for key, it in at.items())
                and (value := run.figures.get(sweep.by)) is not None and value > 0
            ]  # fmt: skip
            yield _knee(sweep.by, name, at, knee.find(points), worse=worse)


def _knee(by: str, name: str, at: dict[str, str], found: knee.Knee | str, *, worse: bool) -> SweepKnee:
    where = f" at {words(at)}" if at else ""
    if isinstance(found, str):
        return SweepKnee(parameter=name, at=at, sentence=f"{name}{where}: {found}")
    top = 1 / found.top if worse else found.top
    knee_at = Interval(value=found.at.value, low=found.at.low, high=found.at.high)
    sentence = (
        f"the knee of {name}{where} is at {found.at.value:,.0f} ({found.at.low:,.0f} to {found.at.high:,.0f}): beyond it {by} "
        f"stays at about {format_value(top, dimension(by))}"
    )
    return SweepKnee(parameter=name, at=at, knee=knee_at, top=top, sentence=sentence)


def _per_task(runs: Sequence[SweepRun]) -> Interval | None:
    seen = [
        Observation(tasks, 0.0, memory)
        for run in runs
        if run.valid and (tasks := run.figures.get("tasks.peak")) is not None
        and (memory := run.figures.get("memory.rss.peak")) is not None
    ]  # fmt: skip
    found = regression.fit(seen, 0.0)
    if isinstance(found, str):
        return None
    each = found.each()
    return Interval(value=each.value, low=each.low, high=each.high)


def _recommend(sweep: Sweep) -> None:
    """The smallest values among those that do as well as the best."""
    worse = lower_is_better(sweep.by)
    known = [(cell, value) for cell in sweep.cells if (value := cell.figures.get(sweep.by)) is not None]
    if not known:
        sweep.reasons.append("no combination has a valid run")
        return
    tolerance = _tolerance(sweep)
    sweep.tolerance = tolerance
    best_cell, best = (min if worse else max)(known, key=lambda item: item[1])
    alike = [
        (cell, value)
        for cell, value in known
        if (value <= best * (1 + tolerance) if worse else value >= best * (1 - tolerance))
    ]

    def cost(item: tuple[SweepCell, float]) -> tuple[int, float]:
        cell, _ = item
        ranks = sum(_rank(sweep.vary[name], value) for name, value in cell.values.items())
        return ranks, cell.figures.get("memory.rss.peak") or math.inf

    chosen, value = min(alike, key=cost)
    sweep.recommended = chosen.values
    sweep.reasons += list(_reasons(sweep, chosen, value, best_cell, best))


def _rank(values: Sequence[str], value: str) -> int:
    """Place of a number among the numbers; words have none, of them memory decides."""
    found = numbers(values)
    return 0 if found is None else sorted(found).index(float(value))


def _tolerance(sweep: Sweep) -> float:
    """5 %, or what the difference of two means varies by where runs of one combination differ more."""
    logs = [
        [math.log(value) for run in sweep.runs
         if run.valid and run.values == cell.values and (value := run.figures.get(sweep.by)) is not None and value > 0]
        for cell in sweep.cells
    ]  # fmt: skip
    groups = [group for group in logs if len(group) > 1]
    if not groups:
        return SAME
    variance = sum(statistics.variance(group) * (len(group) - 1) for group in groups) / sum(len(g) - 1 for g in groups)
    return min(0.5, max(SAME, 2 * math.sqrt(2 * variance / max(1, sweep.repeats))))


def _reasons(sweep: Sweep, chosen: SweepCell, value: float, best_cell: SweepCell, best: float) -> Iterator[str]:
    by, of = sweep.by, dimension(sweep.by)
    if chosen is best_cell:
        yield f"{by} is the best there, {format_value(value, of)}"
    else:
        yield (
            f"{by} is {format_value(value, of)} there, the best {format_value(best, of)} with {words(best_cell.values)}: "
            f"within {sweep.tolerance or SAME:.0%}, which is taken as the same"
        )
    for found in sweep.knees:
        if found.knee is not None and all(chosen.values[name] == it for name, it in found.at.items()):
            yield found.sentence
    largest = max(sweep.cells, key=lambda cell: sum(_rank(sweep.vary[n], v) for n, v in cell.values.items()))
    for name, said in (("writes.conflict", "conflicting writes"), ("queue.depth.max", "items waiting at most")):
        there = chosen.figures.get(name)
        compared = [(cell, figure) for cell in sweep.cells if (figure := cell.figures.get(name)) is not None]
        if there is None or not compared:
            yield f"{said}: not known"
            continue
        most, figure = max(compared, key=lambda item: item[1])
        if figure == 0:
            yield f"no {said} anywhere"
            continue
        with_ = "the most of all" if most is chosen else f"up to {figure:,.0f} with {words(most.values)}"
        yield f"{there:,.0f} {said}, {with_}"
    yield from _task_reason(sweep, chosen, largest)


def _task_reason(sweep: Sweep, chosen: SweepCell, largest: SweepCell) -> Iterator[str]:
    each = sweep.memory_per_task
    here, there = chosen.figures.get("tasks.peak"), largest.figures.get("tasks.peak")
    if each is None or each.low is None or each.high is None or here is None or there is None:
        yield "memory per task: not known"
        return
    between = f"({format_value(each.low, 'bytes')} to {format_value(each.high, 'bytes')})"
    said = f"a task takes {format_value(each.value, 'bytes')} {between} of peak memory"
    if each.low <= 0:
        said += ", which is not to be told from nothing"
    elif largest is not chosen:
        said += f": {words(largest.values)} has {there - here:,.0f} more, {format_value((there - here) * each.value, 'bytes')}"
    yield said
