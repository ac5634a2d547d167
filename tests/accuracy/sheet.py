"""What is judged: one row per quantity, with what is true, what was measured, how far off, and how far off it may be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.core.units import Dimension, format_value

_HEAD = ("collector", "quantity", "n", "true", "measured", "error", "goal", "")


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `error` is what the goal bounds; it is in `error_unit`, the values are in `unit` (base units)."""

    collector: str
    quantity: str
    n: int
    """Of what the comparison is made: objects, events, kills."""
    unit: Dimension
    true: float | None
    measured: float | None
    """None for both where each of the `n` has its own, and `error` is a quantile over them."""
    error: float
    error_unit: Dimension
    goal: float | None
    """None: for information, not judged."""
    how: str
    """What was compared with what, in a sentence."""

    @property
    def met(self) -> bool:
        """Whether the goal, if there is one, was met."""
        return self.goal is None or self.error <= self.goal

    def cells(self) -> tuple[str, ...]:
        """As a line of the table."""
        shown = [_shown(value, self.unit) for value in (self.true, self.measured)]
        goal = "" if self.goal is None else "exact" if self.goal == 0 else f"<= {_shown(self.goal, self.error_unit)}"
        verdict = "" if self.goal is None else "ok" if self.met else "MISSED"
        return (
            self.collector,
            self.quantity,
            f"{self.n:,}",
            *shown,
            _shown(self.error, self.error_unit),
            goal,
            verdict,
        )

    def as_json(self) -> dict[str, Any]:
        """Values in base units."""
        names = ("collector", "quantity", "n", "unit", "true", "measured", "error", "error_unit", "goal", "met", "how")
        return {name: getattr(self, name) for name in names}


@dataclass(slots=True)
class Matrix:
    """Causes that were brought about, and what was reported of each: how often which."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, injected: str, reported: str) -> None:
        """One end of a subject."""
        row = self.counts.setdefault(injected, {})
        row[reported] = row.get(reported, 0) + 1

    def lines(self) -> list[str]:
        """As plain text."""
        columns = sorted({reported for row in self.counts.values() for reported in row})
        head = ("cause brought about", *columns)
        body = [(cause, *(str(row.get(column, "")) for column in columns)) for cause, row in self.counts.items()]
        return table([head, *body])


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns, the first two to the left."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(_aligned(row, widths)).rstrip() for row in rows]


def render(rows: Iterable[Row]) -> list[str]:
    """The table."""
    return table([_HEAD, *(row.cells() for row in rows)])


def as_json(rows: Sequence[Row], matrix: Matrix, **more: object) -> str:
    """Everything, for programs."""
    document = {
        "schema": "harness.accuracy/v1",
        **more,
        "rows": [row.as_json() for row in rows],
        "endings": matrix.counts,
    }
    return json.dumps(document, indent=1)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        text.ljust(width) if index < 2 else text.rjust(width)
        for index, (text, width) in enumerate(zip(row, widths, strict=True))
    ]


def _shown(value: float | None, unit: Dimension) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if unit == "ratio" else format_value(value, unit)
