"""Complete lines of a growing log file, over partial writes, truncation and rotation."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

LONGEST_LINE = 16 << 20
"""Bytes of a line: ten times the largest object that an API server takes."""


class Tail:
    """Follows one file by name. Reads are of bounded size, so the caller decides how long it works at a time."""

    def __init__(self, path: Path, *, history_bytes: int) -> None:
        """Start up to `history_bytes` before the file's present end, at the beginning of a line. Raises OSError."""
        self._path = path
        self._file: BinaryIO = path.open("rb")
        self._partial = bytearray()
        size = os.fstat(self._file.fileno()).st_size
        if size > history_bytes:
            self._file.seek(size - history_bytes)
            self._file.readline()

    def read(self, max_bytes: int = 1 << 18) -> list[bytes]:
        """The next complete lines, without their ends; empty where there are none yet."""
        while True:
            chunk = self._file.read(max_bytes)
            if not chunk:
                if not self._moved_on():
                    return []
                chunk = self._file.read(max_bytes)
            first, *rest = chunk.split(b"\n")
            self._take(first)
            if rest:
                lines = [bytes(self._partial), *rest[:-1]]
                self._partial[:] = rest[-1]
                return lines
            if not chunk:
                return []
            # one very long line: its end may be there already

    def _take(self, part: bytes) -> None:
        """More of a line. What is longer than any line of a log is kept up to that: it is told as one broken line."""
        self._partial += part[: max(0, LONGEST_LINE - len(self._partial))]

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()

    def _moved_on(self) -> bool:
        """At the end of the file: go on where it was truncated or replaced."""
        here = os.fstat(self._file.fileno())
        if here.st_size < self._file.tell():
            self._file.seek(0)
            self._partial.clear()
            return True
        try:
            there = self._path.stat()
        except FileNotFoundError:  # between the two steps of a rotation
            return False
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
            return False
        self._file.close()
        self._file = self._path.open("rb")
        self._partial.clear()
        return True
