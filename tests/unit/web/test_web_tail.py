"""A run that is followed while it is written: what becomes one part at its end is not counted twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from harness.core.sinks import RequestRow
from harness.record import parts
from harness.record.tables import PartWriter
from harness.web.live import Tail
from tests.records import RecordBuilder, ns

_PARTS = parts.FEW + 10


def _write(directory: Path, first: int, last: int, samples: PartWriter, requests: PartWriter) -> None:
    for second in range(first, last):
        samples.write([(ns(second), "load", "memory", "memory.rss", "{}", 100.0 + second)])
        row = RequestRow(
            "load", 0, 1, ns(second), ns(second), ns(second) + 1, "create", "Secret", f"s-{second}", 201, None, 1
        )
        requests.write([row])


def test_a_tail_that_saw_the_small_parts_shows_what_one_of_the_large_part_shows(tmp_path: Path) -> None:
    record = RecordBuilder(tmp_path / "run")
    record.phase("load", "create", 0, _PARTS, kind="Secret", requested=_PARTS)
    path = record.write().path
    samples, requests = PartWriter(path, "samples"), PartWriter(path, "requests")
    _write(path, 0, _PARTS - 5, samples, requests)
    tail = Tail(path)
    tail.read()
    seen = {"memory": 0}
    first = tail.points(seen)
    _write(path, _PARTS - 5, _PARTS, samples, requests)
    for table in ("samples", "requests"):
        parts.merge(path, table)
    tail.read()
    fresh = Tail(path)
    fresh.read()
    assert tail.status() == fresh.status()
    assert tail.status()["done"] == _PARTS
    assert [dataclasses.astuple(curve) for curve in tail.curves.values()] == [
        dataclasses.astuple(curve) for curve in fresh.curves.values()
    ]
    rest = tail.points(seen)  # a viewer goes on where it was
    assert {name: first[name] + rest[name] for name in first} == fresh.points({})
    assert tail.notes == []
