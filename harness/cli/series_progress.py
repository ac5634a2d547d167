"""Live progress of a series of runs (capacity, sweep): which run, how long they take; one line kept per run."""

from __future__ import annotations

import time

from rich.console import Console
from rich.text import Text

from harness.cli.many_runs import ManyRunsObserver
from harness.core.units import format_value
from harness.experiment.options import Status
from harness.report.results import clean


class SeriesObserver(ManyRunsObserver):
    """A `series.Watcher` for people."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._started = time.monotonic()
        self._seconds: list[float] = []
        self._planned: int | None = None
        self._number = 0

    # -- Watcher -------------------------------------------------------------------------------------------------------

    def series_started(self, experiment_id: str, title: str, lines: list[str]) -> None:
        """See `Watcher`."""
        self._print(Text.assemble("\n", (f"experiment {experiment_id}", "bold"), f"  {clean(title)}"))
        for line in lines:
            self._print(Text(f"  {clean(line)}"))

    def run_planned(self, what: str, number: int, planned: int | None) -> None:
        """See `Watcher`."""
        self._started, self._number, self._planned = time.monotonic(), number, planned
        of = f" of {planned}" if planned else ""
        self._where = f"run {number}{of} · {clean(what)}{self._left()}"
        self._show(self._where)

    def run_taken(self, what: str, sentence: str, *, anew: bool) -> None:
        """See `Watcher`."""
        seconds = time.monotonic() - self._started if anew else None
        if seconds is not None:
            self._seconds.append(seconds)
        took = "kept" if seconds is None else format_value(seconds, "seconds")
        self._print(Text(f"  {clean(what):<54} {took:>7}  {clean(sentence)}"))

    def _left(self) -> str:
        if not self._seconds or self._planned is None:
            return ""
        left = max(0, self._planned - self._number + 1) * sum(self._seconds) / len(self._seconds)
        return f" · about {format_value(left, 'seconds')} left of these"

    # -- Observer ------------------------------------------------------------------------------------------------------

    def tick(self, status: Status) -> None:
        """See `Observer`; a rung of a ladder differs from the others by its count."""
        self._show(f"{self._where}: {status.phase} {status.done:,}", throttled=True)
