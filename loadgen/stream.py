"""Facts to the harness: JSON lines on stdout, rows in batches.

One greenlet writes; everything else only appends, so order is the order of the calls: the rows of a phase stand before
the line that says it has ended. Nothing is ever dropped: if the reader falls far behind, the workers wait
(`wait_for_room`), and in an open model that shows as latency. A line stays below 64 KiB, what asyncio's readers take.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import gevent
from gevent.event import Event
from gevent.socket import wait_write

INTERVAL_S = 0.1

ROWS_PER_LINE = 100

MOST_PENDING = 32 * 1024 * 1024
"""Bytes not yet taken by the reader before workers wait."""

PIPE_BUF = 4096
"""As much as a pipe that is ready for writing takes without blocking; more would stop all greenlets."""

Row = Sequence[object]


class Stream:
    """Writes JSON lines to the file descriptor `fd`. `on_broken` is called once when nobody reads any more."""

    def __init__(self, fd: int, on_broken: Callable[[], None]) -> None:
        self._fd = fd
        self._on_broken = on_broken
        self._rows: list[Row] = []
        self._lines: deque[bytes] = deque()
        self._pending = 0
        self._broken = False
        self._closing = False
        self._wake = Event()
        self._room = Event()
        self._room.set()
        self._writer = gevent.spawn(self._run)

    def row(self, row: Row) -> None:
        """Take one request row; it is written within INTERVAL_S."""
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_LINE:
            self._seal()

    def emit(self, message: Mapping[str, object]) -> None:
        """Write a line at once, after all rows taken so far."""
        self._seal()
        self._append(message)
        self._wake.set()

    def wait_for_room(self) -> None:
        """Block while the reader is far behind."""
        self._room.wait()

    def close(self, timeout_s: float) -> bool:
        """Write all that is left. Returns whether it was written in time."""
        self._closing = True
        self._wake.set()
        self._writer.join(timeout_s)
        complete = self._writer.ready() and not self._pending
        self._writer.kill()
        return complete

    def _append(self, message: Mapping[str, object]) -> None:
        if self._broken:
            return
        line = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        self._lines.append(line)
        self._pending += len(line)
        if self._pending > MOST_PENDING:
            self._room.clear()

    def _seal(self) -> None:
        if self._rows:
            rows, self._rows = self._rows, []
            self._append({"type": "requests", "rows": rows})

    def _run(self) -> None:
        while True:
            closing = self._closing
            self._seal()
            try:
                self._drain()
            except OSError:
                self._give_up()
                return
            if closing:
                return
            self._wake.wait(INTERVAL_S)
            self._wake.clear()

    def _drain(self) -> None:
        while self._lines:
            rest = memoryview(self._lines.popleft())
            while rest:
                wait_write(self._fd)
                written = os.write(self._fd, rest[:PIPE_BUF])
                rest = rest[written:]
                self._pending -= written
            if self._pending <= MOST_PENDING // 2:
                self._room.set()

    def _give_up(self) -> None:
        self._broken = True
        self._lines.clear()
        self._pending = 0
        self._room.set()
        self._on_broken()
