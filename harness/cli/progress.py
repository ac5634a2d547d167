"""Live progress of a run in the terminal: one line that moves, and one line kept per phase. Plain lines without a TTY."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from harness.core.units import format_value
from harness.experiment.options import Status
from harness.record.models import Verdict
from harness.record.reader import RunRecord
from harness.scenario.model import Scenario

_PLAIN_EVERY_SECONDS = 15.0


class TerminalObserver:
    """An `Observer` and `Progress` for people."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner("dots", text="")
        self._live = Live(self._spinner, console=console, refresh_per_second=8, transient=True)
        self._step = ""
        self._step_started = time.monotonic()
        self._last_plain = time.monotonic()

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    # -- Observer ------------------------------------------------------------------------------------------------------

    def run_started(self, run_id: str, scenario: Scenario, arm: str | None, directory: Path) -> None:
        """See `Observer`."""
        title = f"{scenario.name}{f' / {arm}' if arm else ''}"
        self._print(Text.assemble("\n", (title, "bold"), f"  {run_id}  -> {directory}"))

    def step(self, text: str) -> None:
        """See `Observer` and `Progress`."""
        self._finish_step()
        self._step, self._step_started = text, time.monotonic()
        self._show(text)

    def detail(self, text: str) -> None:
        """See `Observer` and `Progress`."""
        self._show(f"{self._step}: {text}", throttled=True)

    def phase_started(self, phase: str, requested: int | None) -> None:
        """See `Observer`."""
        self._finish_step()
        self._show(f"{phase}{f': {requested} to do' if requested else ''}")

    def tick(self, status: Status) -> None:
        """See `Observer`."""
        parts = [status.phase]
        if status.requested:
            rate = f" at {status.per_s:,.0f}/s" if status.per_s is not None else ""
            parts.append(f"{min(status.done, status.requested):,}/{status.requested:,}{rate}")
        if status.limit_bytes and status.charged_bytes is not None:
            memory, limit = format_value(status.charged_bytes, "bytes"), format_value(status.limit_bytes, "bytes")
            parts.append(f"memory {memory} of {limit}")
        elif status.rss_bytes is not None:
            parts.append(f"RSS {format_value(status.rss_bytes, 'bytes')}")
        if status.tasks is not None:
            parts.append(f"tasks {status.tasks:,.0f}")
        if status.queue_depth is not None:
            parts.append(f"queue {status.queue_depth:,.0f}")
        if status.waiting_for:
            parts.append(f"waiting for {status.waiting_for:,} effects")
        self._show("  ".join(parts), throttled=True)

    def phase_ended(self, phase: str, sentence: str) -> None:
        """See `Observer`."""
        self._print(Text(f"  {phase:<40} {sentence}"))

    def run_ended(self, record: RunRecord, verdict: Verdict) -> None:  # noqa: ARG002 # the verdict is rendered after the last arm
        """See `Observer`."""
        self._finish_step()

    def _finish_step(self) -> None:
        if self._step:
            seconds = time.monotonic() - self._step_started
            if seconds >= 0.1:
                self._print(Text(f"  {self._step:<40} {format_value(seconds, 'seconds')}"))
            self._step = ""

    def _show(self, text: str, *, throttled: bool = False) -> None:
        if self._live.is_started:
            self._spinner.update(text=Text(text, no_wrap=True, overflow="ellipsis"))
        elif throttled and time.monotonic() - self._last_plain > _PLAIN_EVERY_SECONDS:
            # a log is read later: a line now and then is enough
            self._last_plain = time.monotonic()
            self._print(Text(f"    {text}"))

    def _print(self, line: Text) -> None:
        # never markup: sentences quote logs and paths; never wrapped: a terminal folds by itself, a log keeps the line
        self._console.print(line, soft_wrap=True)
