"""Synthetic entries of a history for unit tests. Nothing here was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from harness.record.history import Entry, Value

METRIC = "memory.rss.peak"
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def entry(number: int, value: float | None = 100.0, **facts: Any) -> Entry:
    """The nightly run number `number`, of a commit of its own unless `facts` say otherwise."""
    defaults: dict[str, Any] = {
        "id": f"20261101-000000-{number:05d}", "kind": "run", "started_at": BEGAN + timedelta(days=number),
        "scenario": "smoke", "arm": "pass", "verdict": "passed", "exit_code": 0, "commit": f"{number:040x}",
        "machine": "m1", "cpu_model": "Synthetic CPU", "cluster": "embedded", "subject": "fleet", "harness": "0.1.0",
        "load_sha256": "l1",
    }  # fmt: skip
    reason = None if value is not None else "not witnessed"
    return Entry(**(defaults | {"results": {METRIC: Value(value, "B", reason=reason)}} | facts))
