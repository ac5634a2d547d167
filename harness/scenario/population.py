"""Which objects of the load there are at each point, and which of them a step takes; from the scenario alone.

Steps that run at the same time see what was there before any of them began.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.core.kinds import Kind
from harness.scenario.model import Scenario
from harness.scenario.names import AnyStep, Phase, groups
from harness.scenario.rates import Changing
from harness.scenario.selection import sample
from harness.scenario.steps import Create
from harness.scenario.traffic import Churn, Delete, Patch, Read, Traffic


@dataclass(frozen=True, slots=True)
class Part:
    """Objects of one create phase, as ascending ranges [first, end) of their indexes."""

    phase: str
    ranges: tuple[tuple[int, int], ...]

    @property
    def count(self) -> int:
        """How many."""
        return sum(end - first for first, end in self.ranges)


Objects = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Taking:
    """What a delete, patch, read or churn step takes, of how many there are."""

    phase: Phase[AnyStep]
    step: Traffic
    there: int
    taken: Objects

    @property
    def count(self) -> int:
        """How many objects it may take."""
        return sum(part.count for part in self.taken)


def takings(scenario: Scenario) -> list[Taking]:
    """For each delete, patch, read and churn step, in order, what it takes."""
    return list(_walk(scenario, {}))


def deleted_kinds(scenario: Scenario) -> list[Kind]:
    """Kinds of which the load deletes objects, for good or to create them again."""
    steps = (phase.step for group in groups(scenario) for phase in group)
    return list(dict.fromkeys(step.resource for step in steps if isinstance(step, Delete | Churn)))


def is_open_ended(step: Create) -> bool:
    """Whether nobody knows beforehand how many objects it creates."""
    return isinstance(step.rate, Changing) and step.rate.until_failure


def churn_share(step: Churn, there: int) -> int:
    """How many objects each cycle of a churn deletes: one at least."""
    return max(1, round(step.percentage * there)) if there else 0


def _walk(scenario: Scenario, left: dict[Kind, Objects]) -> Iterator[Taking]:
    """Every taking; `left` is what there is of each kind, kept up to date."""
    for group in groups(scenario):
        before = dict(left)
        for phase in group:
            step = phase.step
            if isinstance(step, Create):
                if step.count and not is_open_ended(step):
                    left[step.resource] = (*left.get(step.resource, ()), Part(phase.name, ((0, step.count),)))
            elif isinstance(step, Delete | Patch | Read | Churn):
                there = before.get(step.resource, ())
                taking = _taking(scenario, phase, step, there)
                if isinstance(step, Delete):
                    left[step.resource] = _without(left.get(step.resource, ()), taking.taken)
                yield taking


def _taking(scenario: Scenario, phase: Phase[AnyStep], step: Delete | Patch | Read | Churn, there: Objects) -> Taking:
    total = sum(part.count for part in there)
    wanted = step.count if isinstance(step, Delete | Patch) and step.count is not None else total
    if wanted >= total:
        return Taking(phase, step, total, there)
    positions = iter(sample(f"{scenario.seed}/{phase.name}", total, wanted))
    taken = []
    position, base = next(positions, None), 0
    for part in there:
        indexes = []
        for first, end in part.ranges:
            while position is not None and position < base + end - first:
                indexes.append(first + position - base)
                position = next(positions, None)
            base += end - first
        if indexes:
            taken.append(Part(part.phase, _ranges(indexes)))
    return Taking(phase, step, total, tuple(taken))


def _without(objects: Objects, gone: Objects) -> Objects:
    away = {part.phase: {i for first, end in part.ranges for i in range(first, end)} for part in gone}
    result = []
    for part in objects:
        if part.phase not in away:
            result.append(part)
            continue
        indexes = [i for first, end in part.ranges for i in range(first, end) if i not in away[part.phase]]
        if indexes:
            result.append(Part(part.phase, _ranges(indexes)))
    return tuple(result)


def _ranges(indexes: list[int]) -> tuple[tuple[int, int], ...]:
    """Ascending indexes as ranges."""
    found: list[tuple[int, int]] = []
    for index in indexes:
        if found and found[-1][1] == index:
            found[-1] = (found[-1][0], index + 1)
        else:
            found.append((index, index + 1))
    return tuple(found)
