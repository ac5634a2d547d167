"""One call of `harness gate`: the gate, its retry where the night wants one, and the history of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import typer

from harness.cli import run_options
from harness.core.errors import HarnessError, UsageError
from harness.gate import nights
from harness.record.gate import Gate
from harness.record.history import History, of_gate


def within(text: str | None, *, nightly: bool) -> float | None:
    """`--retry-within` in seconds. Raises UsageError."""
    if text is None:
        return None
    if not nightly:
        raise UsageError("--retry-within is about the second try of a night", remedy="add --nightly")
    return run_options.seconds("--retry-within", text, "20m")


def judge(
    measure: Callable[[], Gate], directory: Path | None, *, nightly: bool, within: float | None = None
) -> tuple[Gate, int]:
    """The gate's result, and for how many nights in a row there has been no conclusion; 0 where nobody asks.

    Both gates of a night are in the history. That it cannot be written costs a warning: the gate is in its experiment.
    With `within` the second begins only if, taking as long as the first, it is over that many seconds after the beginning.
    """
    began = time.monotonic()
    gate = measure()
    in_time = within is None or 2 * (time.monotonic() - began) <= within
    if nightly and in_time and nights.wants_retry(gate):
        _remember(gate, directory, retried=True)
        gate = measure()
    _remember(gate, directory, retried=False)
    if not nightly or directory is None:
        return gate, 0
    return gate, nights.inconclusive_nights(History(directory).entries(kind="gate"), gate)


def _remember(gate: Gate, directory: Path | None, *, retried: bool) -> None:
    if directory is None:
        return
    try:
        History(directory).add([of_gate(gate, retried=retried)])
    except HarnessError as error:
        typer.echo(f"warning: the gate is not in the history: {error}", err=True)
