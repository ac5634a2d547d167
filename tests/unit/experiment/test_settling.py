"""When a system with fake agents counts as settled: not while answers are due, and whatever the heartbeats."""

from __future__ import annotations

import asyncio

from harness.collectors.latency import _Kind, _moved
from harness.core.kinds import find
from harness.experiment.settle import settle
from harness.kube.watch import EventType, WatchEvent

CLUSTER = find("Cluster.fleet.cattle.io")


class Quiet:
    """A latency collector that has seen nothing for an hour."""

    def quiet_seconds(self) -> float:
        return 3600.0

    def missing(self) -> int:
        return 0


def test_an_answer_that_is_due_is_waited_for() -> None:
    asked: list[int] = []

    def waiting() -> int:
        asked.append(1)
        return 1 if len(asked) < 5 else 0

    assert asyncio.run(settle(Quiet(), None, quiet_for=0.1, timeout=30, waiting=waiting))  # type: ignore[arg-type] # a fake
    assert len(asked) >= 5
    assert not asyncio.run(settle(Quiet(), None, quiet_for=0.1, timeout=0.3, waiting=lambda: 1))  # type: ignore[arg-type] # a fake


def seen(state: _Kind, type_: EventType = "MODIFIED", **metadata: object) -> bool:
    event = WatchEvent(type_, {"metadata": {"name": "one", "namespace": "ns", **metadata}}, 0)
    return _moved(state, ("ns", "one"), event)


def test_a_heartbeat_is_no_sign_that_anything_moves() -> None:
    state = _Kind(CLUSTER, [])
    assert seen(state, "ADDED", generation=1, labels={"a": "b"}, resourceVersion="1")
    assert not seen(state, generation=1, labels={"a": "b"}, resourceVersion="2")
    assert seen(state, generation=1, labels={"a": "c"}, resourceVersion="3")
    assert seen(state, generation=2, labels={"a": "c"}, resourceVersion="4")
    assert not seen(state, generation=2, labels={"a": "c"}, resourceVersion="5")
    assert seen(state, generation=2, labels={"a": "c"}, resourceVersion="6", deletionTimestamp="now")
    assert seen(state, "DELETED", generation=2)
    assert not state.shapes
