"""From the runs of `harness overhead` to what each collector costs, and whether that is within the goals. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.record.overhead import Cost, GoalResult, Spread, Unit

IDLE = "harness CPU, idle"
PER_EVENT = "harness CPU per watched event"
HARNESS_MEMORY = "harness memory"
SUBJECT_CPU = "subject CPU"
SUBJECT_IDLE = "subject CPU, idle"
SUBJECT_MEMORY = "subject memory"
THROUGHPUT = "throughput"
PER_STEP = "harness CPU per step of the load"
FIGURES = (IDLE, PER_EVENT, PER_STEP, HARNESS_MEMORY, SUBJECT_IDLE, SUBJECT_CPU, SUBJECT_MEMORY, THROUGHPUT)


@dataclass(frozen=True, slots=True)
class Compared:
    """One way to run the work. `against` names the one that it is compared with; None: it is only compared with."""

    name: str
    words: str
    collectors: tuple[str, ...]
    against: str | None


@dataclass(frozen=True, slots=True)
class Helping:
    """One step of the load with all that it brings about, and what the harness's main process used meanwhile."""

    seconds: float
    """From its first request until a second after all that it must bring about existed."""
    cpu_s: float
    events: float | None
    """Watch events that the harness took in; None where it did not watch."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one run took. Of the harness: its main process, without load generator, subject and control plane."""

    idle_cores: float
    """CPU of the harness while nothing happened, in cores."""
    small: Helping
    large: Helping
    work_s: float
    """Of the large helping: from the first request until all that it must bring about existed."""
    subject_cpu_s: float
    """CPU of the subject in that time."""
    subject_idle_cores: float
    subject_rss_bytes: float
    harness_peak_bytes: float
    objects: int
    others: float
    """Share of the machine's CPU time that was not the run's."""


def costs(arms: Sequence[Compared], rounds: Sequence[Mapping[str, Reading]]) -> list[Cost]:
    """Of each arm that is compared and has a pair, over the rounds in which both of its runs count."""
    found = []
    for arm in arms:
        if arm.against is None:
            continue
        pairs = [(each[arm.against], each[arm.name]) for each in rounds if arm.against in each and arm.name in each]
        if not pairs:
            continue
        events = _events(arm, rounds)
        found.append(
            Cost(
                name=arm.name,
                words=arm.words,
                against=arm.against,
                collectors=list(arm.collectors),
                pairs=len(pairs),
                figures=_figures(pairs, events),
            )
        )
    return found


def _events(arm: Compared, rounds: Sequence[Mapping[str, Reading]]) -> tuple[float, float] | None:
    """How many events the helpings make: as this arm counted them, else as any did that watched. The work is the same."""
    own = [each[arm.name] for each in rounds if arm.name in each]
    for readings in (own, [reading for each in rounds for reading in each.values()]):
        counted = [
            (each.small.events, each.large.events) for each in readings if each.small.events and each.large.events
        ]
        if counted:
            return statistics.median(few for few, _ in counted), statistics.median(many for _, many in counted)
    return None


def _figures(pairs: Sequence[tuple[Reading, Reading]], events: tuple[float, float] | None) -> dict[str, Spread]:
    figures = {
        IDLE: _spread("ratio", [on.idle_cores - off.idle_cores for off, on in pairs]),
        HARNESS_MEMORY: _spread("B", [on.harness_peak_bytes - off.harness_peak_bytes for off, on in pairs]),
        SUBJECT_IDLE: _spread("ratio", [on.subject_idle_cores - off.subject_idle_cores for off, on in pairs]),
        SUBJECT_MEMORY: _spread("B", [on.subject_rss_bytes - off.subject_rss_bytes for off, on in pairs]),
        THROUGHPUT: _spread("ratio", [off.work_s / on.work_s for off, on in pairs]),
    }
    if all(off.subject_cpu_s > 0 for off, _ in pairs):
        figures[SUBJECT_CPU] = _spread("ratio", [on.subject_cpu_s / off.subject_cpu_s for off, on in pairs])
    if events and events[1] > events[0]:
        split = [_per_event_and_step(off, on, events) for off, on in pairs]
        figures[PER_EVENT] = _spread("s", [event_s for event_s, _ in split])
        figures[PER_STEP] = _spread("s", [step_s for _, step_s in split])
    return {name: figures[name] for name in FIGURES if name in figures}


def _per_event_and_step(off: Reading, on: Reading, events: tuple[float, float]) -> tuple[float, float]:
    """CPU of one event more, and of a step of the load however many events it has.

    Both helpings have one step each, so it drops out of their difference.
    """
    small, large = (_beyond_idle(on, which) - _beyond_idle(off, which) for which in ("small", "large"))
    few, many = (on.small.events, on.large.events) if on.small.events and on.large.events else events
    event_s = (large - small) / (many - few)
    return event_s, small - few * event_s


def _beyond_idle(reading: Reading, which: str) -> float:
    """CPU of a helping, without what the same collectors would have taken in that time anyway."""
    helping: Helping = getattr(reading, which)
    return helping.cpu_s - reading.idle_cores * helping.seconds


def _spread(unit: Unit, values: Sequence[float]) -> Spread:
    return Spread(
        unit=unit, median=statistics.median(values), low=min(values), high=max(values), values=list(values)
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Goal:
    words: str
    cost: str
    figure: str
    bound: float
    unit: Unit
    at_least: bool = False


GOALS = (
    _Goal("passive collectors together, of a core when idle", "passive", IDLE, 0.02, "ratio"),
    _Goal("passive collectors together, CPU per watched event", "passive", PER_EVENT, 40e-6, "s"),
    _Goal("passive collectors together, memory", "passive", HARNESS_MEMORY, 60e6, "B"),
    _Goal("memray from the start, the subject's CPU", "memray-launch", SUBJECT_CPU, 2.0, "ratio"),
    _Goal("memray from the start, throughput", "memray-launch", THROUGHPUT, 0.5, "ratio", at_least=True),
    _Goal("Pyroscope (CPU), the subject's CPU", "pyroscope", SUBJECT_CPU, 1.03, "ratio"),
)
"""Of issue 7. memray: at most twice the time, so at least half of the throughput."""


def goals(found: Sequence[Cost]) -> list[GoalResult]:
    """Every goal, with what was measured of it."""
    return [_judged(goal, {cost.name: cost for cost in found}) for goal in GOALS]


def _judged(goal: _Goal, found: Mapping[str, Cost]) -> GoalResult:
    cost = found.get(goal.cost)
    measured = None if cost is None else cost.figures.get(goal.figure)

    def holds(value: float) -> bool:
        return value >= goal.bound if goal.at_least else value <= goal.bound

    return GoalResult(
        words=goal.words,
        figure=goal.figure,
        bound=goal.bound,
        at_least=goal.at_least,
        unit=goal.unit,
        measured=measured,
        met=None if measured is None else holds(measured.median),
        clear=None if measured is None else len({holds(value) for value in measured.values}) == 1,
    )
