"""Commands of the harness: one JSON a line on stdin; the end of the file means stop, too."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import gevent
from gevent.socket import wait_read

CHUNK = 65_536


class Control:
    """Reads commands from the file descriptor `fd` in a greenlet of its own and calls back.

    `on_run(phases)` for `{"run": phase}` and `{"run": [phase, …]}` (several at the same time), `on_stop()` for
    `{"stop": true}`, the end of the file or an unreadable file,
    `on_unknown(line)` for anything else.
    """

    def __init__(
        self,
        fd: int,
        on_run: Callable[[list[str]], None],
        on_stop: Callable[[], None],
        on_unknown: Callable[[str], None],
    ) -> None:
        self._fd = fd
        self._on_run = on_run
        self._on_stop = on_stop
        self._on_unknown = on_unknown
        self._reader = gevent.spawn(self._read)

    def close(self) -> None:
        """Stop reading."""
        self._reader.kill()

    def _read(self) -> None:
        buffer = b""
        while True:
            try:
                # Waiting first keeps the descriptor's mode as it is: it may be shared with other processes.
                wait_read(self._fd)
                chunk = os.read(self._fd, CHUNK)
            except OSError:
                chunk = b""
            if not chunk:
                self._on_stop()
                return
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    self._obey(line)

    def _obey(self, line: bytes) -> None:
        try:
            command = json.loads(line)
        except ValueError:
            command = None
        match command:
            case {"stop": True}:
                self._on_stop()
            case {"run": str(phase)}:
                self._on_run([phase])
            case {"run": [*phases]} if phases and all(isinstance(phase, str) for phase in phases):
                self._on_run(phases)
            case _:
                self._on_unknown(line.decode("utf-8", "replace").strip())
