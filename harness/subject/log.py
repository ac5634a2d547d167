"""Keeps a subject's log within bounds: a controller that logs every event must not fill the disk with a run's record.

All incarnations append to one file. When it has half the allowed size it is copied to `subject.log.1`, whose old content is
dropped, and emptied: the writers hold it open in append mode and go on at its start. What is written between the last
read and the emptying, microseconds, may be lost.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from harness.core.sinks import Sink
from harness.core.units import format_value

POLL_S = 0.5
_CHUNK = 1 << 20
_OLDER = os.O_WRONLY | os.O_CREAT | os.O_TRUNC  # as private as the log itself


class LogKeeper:
    """Rotates one log until closed."""

    def __init__(self, log: Path, limit_bytes: int, sink: Sink) -> None:
        self.log = log
        self.older = log.with_name(log.name + ".1")
        self.dropped_bytes = 0
        self._limit = limit_bytes
        self._sink = sink
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look at its size."""
        self._task = asyncio.create_task(self._run(), name="log-keeper")

    async def close(self) -> None:
        """Stop; what was dropped is told once, as a warning. Idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self.dropped_bytes:
            dropped, limit = (format_value(value, "bytes") for value in (self.dropped_bytes, self._limit))
            self._sink.event(
                "warning", source="subject", message=f"{self.log.name} lacks its oldest {dropped}: log_limit is {limit}"
            )

    async def _run(self) -> None:
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(POLL_S)

    def look(self) -> None:
        """Rotate if it is time."""
        try:
            if self.log.stat().st_size <= self._limit // 2:
                return
            lost = self.older.stat().st_size if self.older.exists() else 0
            lost += self._copy()
        except OSError as error:
            self._sink.event(
                "warning", source="subject", message=f"{self.log.name} cannot be rotated: {error.strerror}"
            )
            self._limit = 2**62
            return
        self.dropped_bytes += lost

    def _copy(self) -> int:
        """Move the content to the older file, the newest half of the limit at most; how much of it had to be dropped."""
        half = self._limit // 2
        with self.log.open("rb+") as source, os.fdopen(os.open(self.older, _OLDER, 0o600), "wb") as target:
            skipped = max(0, source.seek(0, os.SEEK_END) - half)
            source.seek(skipped)
            while chunk := source.read(_CHUNK):
                target.write(chunk)
            source.truncate(0)
        return skipped
