"""What the controller did, told while it does it: Prometheus metrics `calibrated_truth_*`, and a line per reconcile.

The sums are counted where the thing is done, not derived from `truth`: where both differ something was retried.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from prometheus_client import Counter, Gauge

from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.program import StartError

_HELP = "Truth of the calibrated controller: "


class Ledger:
    """The truth of one process."""

    def __init__(self, metrics: Metrics, path: Path | None) -> None:
        registry = metrics.registry

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"calibrated_truth_{name}", _HELP + text, registry=registry)

        def counter(name: str, text: str) -> Counter:
            return Counter(f"calibrated_truth_{name}", _HELP + text, registry=registry)

        self.reconciles = counter("reconciles", "reconciles carried through")
        self.objects = gauge("objects", "objects for which memory is held")
        self.held_bytes = gauge("held_bytes", "bytes held for objects, and ballast")
        self.leaked_bytes = gauge("leaked_bytes", "bytes left behind")
        self.tasks_left = gauge("tasks_left", "tasks that never end")
        self.writes = counter("writes", "writes that were answered with success")
        self.noop_writes = counter("noop_writes", "of these, those that changed nothing")
        self.cpu_seconds = counter("cpu_seconds", "CPU time burnt on purpose")
        try:
            self._file = path.open("a", encoding="utf-8") if path else None
        except OSError as error:
            raise StartError(f"{path}: the truth cannot be written there: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def line(self, type_: str, **fields: object) -> None:
        """A line of the file, on disk when this returns. Times are `time.monotonic_ns()`, as of all processes of a run."""
        if self._file:
            self._file.write(json.dumps({"type": type_, **fields}, separators=(",", ":")) + "\n")
            self._file.flush()
