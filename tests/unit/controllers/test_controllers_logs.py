"""Logs: single lines, and repetition that is counted."""

from __future__ import annotations

import logging

from harness.controllers.runtime.logs import LineFormatter, RepetitionFilter


def record(
    message: str, *arguments: object, created: float = 1000.0, error: Exception | None = None
) -> logging.LogRecord:
    info = (type(error), error, None) if error else None
    made = logging.LogRecord("fleet", logging.WARNING, __file__, 1, message, arguments, info)
    made.created, made.msecs = created, 5.0
    return made


def test_a_record_is_one_line_with_its_traceback() -> None:
    line = LineFormatter().format(record("broke %s", "a\nb", error=ValueError("x\ny")))
    assert line == "1970-01-01T00:16:40.005Z WARNING fleet broke a | b: ValueError: x | y"


def test_repetition_is_held_back_and_counted() -> None:
    repeats = RepetitionFilter(lines=2, window_s=10)
    passed = [repeats.filter(record("failed: %s", number, created=1000.0 + number)) for number in range(6)]
    assert passed == [True, True, False, False, False, False]
    assert repeats.filter(record("another"))
    later = record("failed: %s", 7, created=1020.0)
    assert repeats.filter(later)
    assert LineFormatter().format(later).endswith("failed: 7 (and 4 more like it)")
