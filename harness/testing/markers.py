"""Markers: what every run of a test must keep to, beside what the test itself asserts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.core import kinds, units
from harness.core.errors import HarnessError, UsageError

if TYPE_CHECKING:
    import pytest

    from harness.testing.results import Run

PER_OBJECT, NO_LEAK = NAMES = "memory_per_object", "no_task_leak"
LINES = (
    f"{PER_OBJECT}(kind, limit): no run of the test may settle at more memory than this per object: ('Secret', '1 KiB')",
    f"{NO_LEAK}(allowed=0): no run of the test may leave more tasks or goroutines than this when its load is over",
)
"""As `pytest --markers` shows them."""


def check(mark: pytest.Mark) -> None:
    """Whether it is written as it must be. Raises UsageError."""
    if mark.name == PER_OBJECT:
        _per_object(mark)
    else:
        _allowed(mark)


def broken(mark: pytest.Mark, runs: Sequence[Run]) -> Iterator[str]:
    """A sentence for each run that does not keep to it, or of which it is not known."""
    if not runs:
        yield f"@{mark.name}: the test has made no run; call `run_scenario` in it"
    for run in runs:
        try:
            sentence = _over(mark, run) if mark.name == PER_OBJECT else _stayed(mark, run)
        except HarnessError as error:
            sentence = str(error)
        if sentence is not None:
            yield f"@{mark.name}: {sentence} (report: {run.report})"


def _over(mark: pytest.Mark, run: Run) -> str | None:
    kind, limit = _per_object(mark)
    value = run[f"memory.per_object.{kind}"]
    if value <= limit:
        return None
    return f"{units.format_value(value, 'bytes')} per {kind}, more than {units.format_value(limit, 'bytes')}"


def _stayed(mark: pytest.Mark, run: Run) -> str | None:
    allowed = _allowed(mark)
    value = run["tasks.stayed"]
    if value <= allowed:
        return None
    return f"{value:.0f} tasks stayed, more than {allowed}: {run.detail('tasks.stayed')}"


def _per_object(mark: pytest.Mark) -> tuple[str, float]:
    try:
        kind, limit = (lambda kind, limit: (kind, limit))(*mark.args, **mark.kwargs)
    except TypeError:
        raise UsageError(f"@{PER_OBJECT} takes a kind and a limit", remedy="write ('Secret', '1 KiB')") from None
    try:
        return kinds.alias_in_name(str(kind)), units.parse(str(limit), "bytes")
    except ValueError as error:
        raise UsageError(f"@{PER_OBJECT}: {error}", remedy="write ('Secret', '1 KiB')") from None


def _allowed(mark: pytest.Mark) -> int:
    try:
        allowed: object = (lambda allowed=0: allowed)(*mark.args, **mark.kwargs)
    except TypeError:
        raise UsageError(f"@{NO_LEAK} takes at most a number", remedy="write (allowed=2)") from None
    if isinstance(allowed, bool) or not isinstance(allowed, int) or allowed < 0:
        raise UsageError(f"@{NO_LEAK}: {allowed!r} is not a number of tasks", remedy="write (allowed=2)")
    return allowed
