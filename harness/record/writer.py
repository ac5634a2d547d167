"""Writes a run record while the run goes on, so that what was seen survives a kill at any moment.

Rows gather in memory and become a Parquet part every two seconds, written by a thread; events are written through. Some room
on the disk is kept until the end, so that a run that ends because the disk is full can still say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from harness.core.clock import RunClock
from harness.core.errors import of_the_disk
from harness.core.sinks import PropagationRow, RequestRow, Sink
from harness.record.models import Run
from harness.record.parts import merge
from harness.record.tables import TABLES, PartWriter, Row, writing_database

FLUSH_SECONDS = 2.0
RESERVE = ".reserve"
RESERVE_BYTES = 256 << 10
"""Several times what the last rows, the facts and the verdict of an ordinary run take."""
_MAX_BUFFERED = 2_000_000  # rows kept while the disk refuses; then the oldest are dropped, and the run is in error
_MAX_LABELS = 5000  # distinct sets of labels whose text is kept


class RecordWriter:
    """The `Sink` of a run, and the writer of its `run.json`."""

    def __init__(self, directory: Path, clock: RunClock, live: Sink | None = None) -> None:
        """`live` is told the same, except events."""
        self.directory = directory
        self._live = live
        self.phase = "start"
        self.failure: str | None = None
        """Why facts could not be written, once that has happened."""
        self._clock = clock
        directory.mkdir(parents=True)
        (directory / "profiles").mkdir()
        self._reserve = _reserve(directory / RESERVE)
        self._database = writing_database()
        self._parts = {table: PartWriter(directory, table, self._database) for table in TABLES}
        self._rows: dict[str, list[Row]] = {table: [] for table in TABLES}
        self._latest: dict[str, float] = {}
        self._labels: dict[tuple[tuple[str, str], ...], str] = {}
        self._events: IO[str] = (directory / "events.jsonl").open("a", buffering=1)
        self._flusher: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to flush in the background of the running event loop."""
        self._flusher = asyncio.create_task(self._flush_forever(), name="record-flush")

    async def close(self) -> None:
        """Flush what is left and stop, in the room that was kept for this: by now nobody else writes. Idempotent."""
        with contextlib.suppress(OSError):
            self._reserve.unlink()
        if self._flusher is not None:
            self._flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flusher
            self._flusher = None
        await asyncio.to_thread(self.flush)
        for parts in self._parts.values():
            parts.close()
        self._database.close()
        if self.failure is None and not self._events.closed:
            await asyncio.to_thread(self._merge)
        try:
            self._events.close()
        except OSError as error:
            self._fail("events.jsonl", error)

    # -- Sink ----------------------------------------------------------------------------------------------------------

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None:
        """See `Sink.sample`."""
        if not labels:
            self._latest[metric] = value
        encoded = self._encoded(labels) if labels else "{}"
        at = self._clock.now_ns() if t_ns is None else t_ns
        if self._live is not None:
            self._live.sample(source, metric, value, labels, at)
        self._rows["samples"].append((at, self.phase, source, metric, encoded, float(value)))

    def requests(self, rows: Sequence[RequestRow]) -> None:
        """See `Sink.requests`."""
        self._rows["requests"].extend(rows)
        if self._live is not None:
            self._live.requests(rows)

    def propagation(self, rows: Sequence[PropagationRow]) -> None:
        """See `Sink.propagation`."""
        self._rows["propagation"].extend(rows)
        if self._live is not None:
            self._live.propagation(rows)

    def event(self, type_: str, /, **fields: object) -> None:
        """See `Sink.event`."""
        line = {"t_ns": self._clock.now_ns(), "phase": self.phase, "type": type_, **fields}
        try:
            self._events.write(json.dumps(line, default=str) + "\n")
        except (OSError, ValueError) as error:
            self._fail("events.jsonl", error)

    # -- beside the protocol -------------------------------------------------------------------------------------------

    def latest(self, metric: str) -> float | None:
        """The last unlabelled sample of a metric, for the live display."""
        return self._latest.get(metric)

    def save_run(self, run: Run) -> None:
        """Write run.json whole or not at all."""
        try:
            write_atomically(self.directory / "run.json", run.model_dump_json(by_alias=True, indent=1) + "\n")
        except OSError as error:
            self._fail("run.json", error)

    def _encoded(self, labels: Mapping[str, str]) -> str:
        """Labels as JSON. Most series come again every second, and to encode them takes longer than all else of a sample."""
        key = tuple(labels.items())
        found = self._labels.get(key)
        if found is None:
            if len(self._labels) >= _MAX_LABELS:
                self._labels.clear()
            found = self._labels[key] = json.dumps(labels, sort_keys=True, separators=(",", ":"))
        return found

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Write the rows of now as parts; for the thread that does it every two seconds, and for whoever makes records."""
        for table, parts in self._parts.items():
            rows = self._rows[table]
            if not rows:
                continue
            self._rows[table] = []
            try:
                parts.write(rows)
            except OSError as error:
                self._fail(table, error)
                kept = (rows + self._rows[table])[-_MAX_BUFFERED:]
                self._rows[table] = kept

    def _merge(self) -> None:
        """Of a long run few large parts; without room for them the small ones stay, and nothing is lost."""
        for table in TABLES:
            try:
                merge(self.directory, table)
            except OSError as error:
                message = f"the parts of {table} were not made into one: {error}"
                self.event("warning", source="record", message=message)

    def _fail(self, what: str, error: Exception) -> None:
        words = (error.strerror if isinstance(error, OSError) else None) or str(error)
        self.failure = self.failure or f"could not write the record: {what}: {' '.join(words.split())}"


def _reserve(path: Path) -> Path:
    """A file that takes room and holds nothing. Raises OSError where there is no such room: nothing could be recorded."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
    except OSError as error:
        if of_the_disk(error) is not None:  # else it cannot keep room, and is not full
            path.unlink()
            raise
    finally:
        os.close(descriptor)
    return path


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, so that a reader or a kill never sees half a file."""
    temporary = path.with_name(f".{path.name}.{time.monotonic_ns()}")
    try:
        temporary.write_text(text)
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()  # half of it would take the room that the next one needs
        raise
