"""Logs that stay readable under load: one line per record on stderr, repetition counted instead of printed."""

from __future__ import annotations

import logging
import sys
import time
import warnings

LINES_PER_WINDOW = 5
WINDOW_S = 10.0
MAX_TEMPLATES = 1000


class LineFormatter(logging.Formatter):
    """`2026-11-22T09:30:15.123Z WARNING fleet.bundle message: error`; a traceback is folded into the same line."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        stamp = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}: {self.formatException(record.exc_info)}"
        suppressed = getattr(record, "suppressed", 0)
        tail = f" (and {suppressed} more like it)" if suppressed else ""
        return f"{stamp} {record.levelname} {record.name} {' | '.join(text.split(chr(10)))}{tail}"


class RepetitionFilter(logging.Filter):
    """Lets a few records of each message template through per window and counts the rest.

    An API server that goes away fails every key of every queue: thousands of lines that say one thing.
    """

    def __init__(self, *, lines: int = LINES_PER_WINDOW, window_s: float = WINDOW_S) -> None:
        super().__init__()
        self._lines, self._window_s = lines, window_s
        self._seen: dict[tuple[str, str], tuple[float, int, int]] = {}  # -> window start, passed, suppressed

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is printed; the first of a new window carries the count of what was held back."""
        key = (record.name, str(record.msg))
        if len(self._seen) >= MAX_TEMPLATES:  # a library that formats its messages itself must not grow us
            self._seen.clear()
        started, passed, suppressed = self._seen.get(key, (record.created, 0, 0))
        if record.created - started >= self._window_s:
            record.suppressed = suppressed
            started, passed, suppressed = record.created, 0, 0
        allowed = passed < self._lines
        self._seen[key] = (started, passed + 1, suppressed) if allowed else (started, passed, suppressed + 1)
        return allowed


def set_up() -> None:
    """Send every log record and Python warning of the process to stderr as single lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    handler.addFilter(RepetitionFilter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    warnings.formatwarning = _one_line


def _one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    del line  # the source line says nothing to who reads a log
    return f"{category.__name__}: {message} ({filename}:{lineno})"
