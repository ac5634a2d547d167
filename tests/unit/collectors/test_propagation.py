"""Matching of causes and effects, in every order in which they can come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from harness.collectors import latency
from harness.collectors.latency import LatencyCollector
from harness.collectors.propagation import LabelIndex, Propagation, Sighting
from harness.core import kinds
from harness.core.errors import RunFault
from harness.core.handles import Expected, ProbeSpec, Target
from harness.kube.watch import WatchEvent
from tests.collecting import NAMESPACE, RUN_ID, ListSink, ProcessSubject, context

KIND = kinds.find("BundleDeployment")
READY = {"status": {"conditions": [{"type": "Other", "status": "True"}, {"type": "Ready", "status": "True"}]}}
UNREADY = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}


def _propagation(condition: str | None = None, *targets: Target) -> Propagation:
    return Propagation([ProbeSpec("p", "flip", KIND, condition, targets or [Target("c1", {"a": "1", "b": "2"})])])


def _see(propagation: Propagation, t_ns: int, labels: dict[str, str], item: dict[str, Any] | None = None) -> bool:
    return propagation.seen(KIND, Sighting(t_ns, "ns", "x"), labels, item or {})


WHOLE = {"a": "1", "b": "2", "c": "3"}


def test_index_finds_by_equality_of_labels_namespace_and_name() -> None:
    index: LabelIndex[str] = LabelIndex()
    index.add("both", {"a": "1", "b": "2"})
    index.add("one", {"a": "1"})
    index.add("named", {}, name="n")
    index.add("spaced", {"a": "1"}, namespace="ns")
    index.add("all", {})
    assert sorted(index.find("ns", "x", WHOLE)) == ["all", "both", "one", "spaced"]
    assert sorted(index.find("other", "n", {"a": "1"})) == ["all", "named", "one"]
    assert sorted(index.find("other", "x", {"a": "2", "b": "2"})) == ["all"]


def test_cause_first() -> None:
    propagation = _propagation()
    propagation.cause("flip", "c1", 90, 100, 150)
    assert propagation.missing == 1
    assert _see(propagation, 130, WHOLE)
    assert not _see(propagation, 140, {"a": "1"})
    assert _see(propagation, 160, WHOLE), "still an awaited object, but no second row"
    assert propagation.take_rows() == [("p", "c1", 90, 100, 150, 130, "ns", "x")]
    assert propagation.take_rows() == []
    assert propagation.missing == 0
    assert propagation.give_up() == []


def test_effect_first_and_sightings_before_the_request_do_not_count() -> None:
    propagation = _propagation()
    for t_ns in (10, 99, 105, 120):
        _see(propagation, t_ns, WHOLE)
    assert propagation.missing == 0
    propagation.cause("flip", "c1", 90, 100, 150)
    assert [row.seen_ns for row in propagation.take_rows()] == [105]
    assert propagation.missing == 0


def test_only_early_sightings_is_missing() -> None:
    propagation = _propagation()
    _see(propagation, 99, WHOLE)
    propagation.cause("flip", "c1", 90, 100, 150)
    assert propagation.missing == 1
    assert propagation.give_up() == [("p", "c1", 90, 100, 150, None, "", "a=1,b=2")]


def test_condition_must_be_true() -> None:
    propagation = _propagation("Ready")
    propagation.cause("flip", "c1", 90, 100, 150)
    assert _see(propagation, 110, WHOLE)
    assert _see(propagation, 120, WHOLE, UNREADY)
    _see(propagation, 130, WHOLE, READY)
    assert [row.seen_ns for row in propagation.take_rows()] == [130]


def test_many_causes_targets_and_reports() -> None:
    targets = [Target(f"c{i % 2}", {"n": str(i)}) for i in range(6)] + [Target("c0", {"n": "0"}, name="other")]
    propagation = _propagation(None, *targets)
    propagation.cause("flip", "c0", 0, 0, 1)
    propagation.cause("flip", "c0", 50, 50, 51)
    propagation.cause("create", "c1", 0, 0, 1)
    propagation.cause("flip", "unknown", 0, 0, 1)
    assert propagation.missing == 4
    assert propagation.unreported == 1
    for i in range(6):
        _see(propagation, 10 + i, {"n": str(i)})
    assert sorted(row.seen_ns or 0 for row in propagation.take_rows()) == [10, 12, 14]
    assert [row.name for row in propagation.give_up()] == ["other"]


def test_many_sightings_before_the_cause_are_bounded() -> None:
    propagation = _propagation()
    for t_ns in range(10_000):
        _see(propagation, t_ns, WHOLE)
    propagation.cause("flip", "c1", 9_990, 9_990, 9_999)
    assert [row.seen_ns for row in propagation.take_rows()] == [9_990]


def test_target_that_meets_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="neither labels, a name nor an owner"):
        _propagation(None, Target("c1"))


def _event(type_: str, name: str, labels: dict[str, str], namespace: str = NAMESPACE, **content: Any) -> WatchEvent:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return WatchEvent(type_, {"metadata": metadata, **content}, time.monotonic_ns())  # type: ignore[arg-type] # one of the literals


def _collect(
    monkeypatch: pytest.MonkeyPatch, events: list[WatchEvent], *, fails: Exception | None = None, **changes: Any
) -> tuple[ListSink, LatencyCollector]:
    """Run the collector over events of a watch that is none: what it makes of them is tested here, watching elsewhere."""
    sink, collector = ListSink(), LatencyCollector()

    class NoApi:
        @classmethod
        async def connect(cls, _: object) -> NoApi:
            return cls()

        async def close(self) -> None:
            pass

    async def fake_follow(_api: object, kind: kinds.Kind, take: Callable[[WatchEvent], None], *_: object) -> None:
        take(WatchEvent("SYNCED", {"metadata": {}}, 0))
        await asyncio.sleep(0)
        for event in events if kind == KIND else []:
            take(event)
        if fails is not None:
            await asyncio.sleep(0.02)
            raise fails
        await asyncio.sleep(60)

    monkeypatch.setattr(latency, "Api", NoApi)
    monkeypatch.setattr(latency, "follow", fake_follow)

    async def scenario() -> None:
        await collector.attach(context(sink, ProcessSubject(), kinds=[KIND], **changes))
        await asyncio.sleep(0.05)
        try:
            await collector.detach()
        finally:
            await collector.detach()

    with nullcontext() if fails is None else pytest.raises(RunFault):
        asyncio.run(scenario())
    return sink, collector


def test_only_objects_of_the_run_count(monkeypatch: pytest.MonkeyPatch) -> None:
    label = {"mine": "yes"}
    sink, _ = _collect(
        monkeypatch,
        [
            _event("ADDED", "in-namespace", {}),
            _event("ADDED", "labelled", {"harness.dev/run": RUN_ID}, "elsewhere"),
            _event("ADDED", "of-fleet", {"fleet.cattle.io/bundle-namespace": NAMESPACE}, "cluster-x"),
            _event("ADDED", "expected", label, "elsewhere"),
            _event("ADDED", "foreign", {"a": "b"}, "kube-system"),
            _event("MODIFIED", "expected", {}, "elsewhere"),  # once ours, always ours
            _event("DELETED", "foreign", {}, "kube-system"),
            _event("DELETED", "labelled", {}, "elsewhere"),  # deletions after a gap come without labels
        ],
        expected=[Expected(KIND, 5, None, label), Expected(kinds.find("Secret"), 3)],
    )
    assert sink.last("objects", kind="BundleDeployment") == 3
    assert sink.last("watch.events", kind="BundleDeployment") == 6
    assert sink.last("objects.matched", kind="BundleDeployment") == 1
    assert sink.last("objects.matched", kind="Secret") == 0


def test_matched_objects_are_distinct_and_do_not_make_up_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [_event("ADDED", f"a{i % 3}", {"set": "a"}) for i in range(6)] + [_event("ADDED", "b0", {"set": "b"})]
    sink, _ = _collect(
        monkeypatch,
        events,
        expected=[Expected(KIND, 2, NAMESPACE, {"set": "a"}), Expected(KIND, 2, NAMESPACE, {"set": "b"})],
    )
    assert sink.last("objects.matched", kind="BundleDeployment") == 3


def test_a_watch_that_ends_is_an_error_and_what_was_seen_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, _ = _collect(monkeypatch, [_event("ADDED", "one", {})], fails=RunFault("the API server is gone"))
    assert sink.last("objects", kind="BundleDeployment") == 1


def test_causes_never_reported_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, _ = _collect(monkeypatch, [], probes=[ProbeSpec("p", "flip", KIND, None, [Target("c1", {"a": "1"})])])
    assert sink.rows == []
    assert sink.warnings == ["1 causes of probes were never sent"]


def test_latencies_so_far_count_what_is_awaited_with_its_age() -> None:
    propagation = _propagation(None, Target("c1", {"a": "1"}), Target("c1", {"a": "2"}), Target("c2", {"a": "3"}))
    assert propagation.so_far("p", 500) == []  # no cause has been reported
    propagation.cause("flip", "c1", 100, 110, 120)
    _see(propagation, 150, {"a": "1"})
    assert propagation.so_far("p", 500) == [50, 400]
    assert propagation.so_far("other", 500) == []
