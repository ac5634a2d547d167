"""What the harness itself took more of while the load went on."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.analysis.results import compute
from tests.records import MIB, RecordBuilder


def _grown(directory: Path, seconds: int, *, leak: float, once: float = 0.0) -> tuple[float | None, str | None]:
    record = RecordBuilder(directory)
    record.phase("idle", "idle", 0, 5)
    record.phase("create-Secret", "create", 5, 5 + seconds, kind="Secret", requested=1, done=1, failed=0)
    record.phase("settled", "settled", 5 + seconds, 7 + seconds)
    level = [(t, (100 + leak * (t - 5) + (once if t > 5 + seconds / 8 else 0)) * MIB) for t in range(7 + seconds)]
    record.samples("host", "overhead.rss", level)
    result = compute(record.write())["overhead.rss.growth"]
    return result.value, result.reason


def test_what_grows_all_the_time_grew_by_half_of_the_load(tmp_path: Path) -> None:
    value, _ = _grown(tmp_path, 400, leak=0.5)
    assert value == pytest.approx(
        0.5 * 200 * MIB, rel=0.02
    )  # from the middle of the second quarter to that of the last


def test_what_is_filled_once_in_the_first_quarter_did_not_grow(tmp_path: Path) -> None:
    assert _grown(tmp_path, 400, leak=0.0, once=50.0)[0] == 0


def test_of_a_short_load_nothing_can_be_said(tmp_path: Path) -> None:
    assert _grown(tmp_path, 20, leak=0.5) == (None, "the load lasted less than 30 s")
