"""One call of `harness gate`: the gate, its retry where the night wants one, and the history of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from harness.core.errors import HarnessError
from harness.gate import nights
from harness.record.gate import Gate
from harness.record.history import History, of_gate


def judge(measure: Callable[[], Gate], directory: Path | None, *, nightly: bool) -> tuple[Gate, int]:
    """The gate's result, and for how many nights in a row there has been no conclusion; 0 where nobody asks.

    Both gates of a night are in the history. That it cannot be written costs a warning: the gate is in its experiment.
    """
    gate = measure()
    if nightly and nights.wants_retry(gate):
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
