"""What is true of a run, from its switches, seed and indexes alone. Pure: nothing here looks at the process.

A test or a benchmark computes the same figures again, without asking the controller, and compares both with what the
harness measured.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Doses:
    """What each object or reconcile gets. The switches of the same names say it."""

    seed: int = 1
    bytes_per_object: tuple[int, int] = (0, 0)
    """Smallest and largest; drawn uniformly for each object."""
    memory_factor: float = 1.0
    leak: int = 0
    """Bytes that each reconcile leaves behind for good."""
    ballast: int = 0
    """Bytes held from the first reconcile on."""
    tasks_left: Fraction = Fraction(0)
    """Tasks that never end, per reconcile."""
    extra_writes: Fraction = Fraction(0)
    """Writes per reconcile beyond the one that is the effect; each changes something."""
    noop_writes: Fraction = Fraction(0)
    """Writes per reconcile that change nothing."""

    def held(self, index: int) -> int:
        """Bytes held for the object of this index."""
        smallest, largest = self.bytes_per_object
        drawn = int.from_bytes(self._bytes(index, 8))
        return round((smallest + drawn % (largest - smallest + 1)) * self.memory_factor)

    def content(self, index: int) -> bytearray:
        """What is held for it: of that many bytes, drawn too, so that every page is written and none compresses."""
        return bytearray(self._bytes(index, self.held(index)))

    def _bytes(self, index: int, length: int) -> bytes:
        return hashlib.shake_128(f"{self.seed}/{index}".encode()).digest(length)

    def total(self, objects: Iterable[int], reconciles: int) -> Totals:
        """The sums after so many reconciles, with these objects (by index) there."""
        return Totals(
            reconciles=reconciles,
            held_bytes=sum(map(self.held, objects)) + (self.ballast if reconciles else 0),
            leaked_bytes=self.leak * reconciles,
            tasks_left=int(self.tasks_left * reconciles),
            writes=reconciles + int(self.extra_writes * reconciles) + int(self.noop_writes * reconciles),
            noop_writes=int(self.noop_writes * reconciles),
        )


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over a process. `writes` counts them all, those that change nothing too."""

    reconciles: int = 0
    held_bytes: int = 0
    leaked_bytes: int = 0
    tasks_left: int = 0
    writes: int = 0
    noop_writes: int = 0


def due(share: Fraction, number: int) -> int:
    """How many of `share` per reconcile fall to reconcile `number` (from 1): of 1/10 one to each tenth."""
    return int(share * number) - int(share * (number - 1))
