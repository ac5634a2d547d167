"""The objects that a phase is about where it does not make them: some of those that earlier phases create."""

from __future__ import annotations

import random
from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate

from loadgen.fields import Fields
from loadgen.plan import Phase, Plan


@dataclass(frozen=True, slots=True)
class Member:
    """An object: the phase that creates it, and which one it is of that phase."""

    phase: Phase
    index: int

    @property
    def name(self) -> str:
        """Its name."""
        return self.phase.object_name(self.index)

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"{self.phase.collection(self.index)}/{self.name}"


class Population:
    """Objects by position, in the order of the plan."""

    def __init__(self, plan: Plan, params: Fields) -> None:
        self._parts: list[tuple[Phase, int]] = []
        lengths: list[int] = []
        value = params.raw("objects")
        if not isinstance(value, list):
            raise params.error("objects", "must be a list")
        for number, item in enumerate(value):
            fields = Fields(item, f"{params.place}.objects[{number}]")
            source = plan.phases.get(fields.text("phase"))
            if source is None or source.action != "create":
                raise fields.error("phase", "must be the name of a create phase")
            for first, end in fields.ranges("indexes", source.count):
                self._parts.append((source, first))
                lengths.append(end - first)
            fields.done()
        self._ends = list(accumulate(lengths))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def at(self, position: int) -> Member:
        """The object at `position`, from 0."""
        part = bisect_right(self._ends, position)
        phase, first = self._parts[part]
        return Member(phase, first + position - (self._ends[part - 1] if part else 0))


def sample(seed: str, count: int, size: int) -> list[int]:
    """`size` different positions below `count`, ascending, by Floyd's algorithm: `random()` is the same everywhere."""
    source = random.Random(seed)  # noqa: S311  # repeatable on purpose; keeps no secret
    chosen: set[int] = set()
    for upper in range(count - size, count):
        position = int(source.random() * (upper + 1))
        chosen.add(upper if position in chosen else position)
    return sorted(chosen)
