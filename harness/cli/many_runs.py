"""Live progress of many runs after one another: where among them it stands, and only that each of them moves."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.cli.progress import TerminalObserver
from harness.experiment.options import Status
from harness.record.models import Verdict
from harness.record.reader import RunRecord
from harness.scenario.model import Scenario


class ManyRunsObserver(TerminalObserver):
    """An `Observer` whose single runs say nothing that stays; a run has its line from whoever counts them."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._where = ""
        """Which run this is, in words; empty before the first."""

    # -- Observer ------------------------------------------------------------------------------------------------------

    def run_started(self, run_id: str, scenario: Scenario, arm: str | None, directory: Path) -> None:
        """See `Observer`; the line of the whole says it."""

    def step(self, text: str) -> None:
        """See `Observer`."""
        if self._where:
            self._show(f"{self._where}: {text}")
        else:
            super().step(text)

    def detail(self, text: str) -> None:
        """See `Observer`."""
        if self._where:
            self._show(f"{self._where}: {text}")
        else:
            super().detail(text)

    def tick(self, status: Status) -> None:
        """See `Observer`."""
        self._show(f"{self._where}: {status.phase}", throttled=True)

    def phase_started(self, phase: str, requested: int | None) -> None:  # noqa: ARG002
        """See `Observer`."""
        self._show(f"{self._where}: {phase}")

    def phase_ended(self, phase: str, sentence: str) -> None:
        """See `Observer`."""

    def run_ended(self, record: RunRecord, verdict: Verdict) -> None:
        """See `Observer`."""
