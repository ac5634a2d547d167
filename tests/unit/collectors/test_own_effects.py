"""Effects on any kind: by owner, until a value is there, until the object is gone; and objects that must stay."""

from __future__ import annotations

from typing import Any

import pytest

from harness.collectors.latency import LatencyCollector, _Kind
from harness.collectors.propagation import Propagation, Sighting
from harness.core.handles import Expected, ProbeSpec, Target
from harness.core.kinds import Kind
from harness.kube.watch import WatchEvent
from tests.collecting import NAMESPACE, RUN_ID, ListSink, ProcessSubject, context

WIDGET = Kind("example.com", "v1", "Widget", "widgets", namespaced=True)
CONFIG = Kind("", "v1", "ConfigMap", "configmaps", namespaced=True)


def _one(target: Target, kind: Kind = WIDGET, **test: Any) -> Propagation:
    propagation = Propagation([ProbeSpec("p", "create", kind, None, [target], **test)])
    propagation.cause("create", "w1", 90, 100, 150)
    return propagation


def _owned(*references: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "metadata": {
            "ownerReferences": [{"apiVersion": api, "kind": kind, "name": name} for api, kind, name in references]
        }
    }


def test_an_owned_object_is_found_by_its_owners_kind_group_and_name() -> None:
    propagation = _one(Target("w1", owner=("Widget.example.com", "w1")), CONFIG)
    other = [("v1", "Widget", "w1"), ("example.com/v1", "Gadget", "w1"), ("example.com/v1", "Widget", "w2")]
    assert not propagation.seen(CONFIG, Sighting(200, "ns", "c"), {}, _owned(*other))
    assert not propagation.seen(CONFIG, Sighting(200, "ns", "c"), {}, {"metadata": {}})
    assert propagation.seen(CONFIG, Sighting(210, "ns", "c"), {}, _owned(*other, ("example.com/v2", "Widget", "w1")))
    assert propagation.take_rows() == [("p", "w1", 90, 100, 150, 210, "ns", "c")]


def test_an_owner_in_the_core_group() -> None:
    propagation = _one(Target("w1", owner=("Secret", "w1")), CONFIG)
    assert propagation.seen(CONFIG, Sighting(210, "ns", "c"), {}, _owned(("v1", "Secret", "w1")))


def test_a_value_is_awaited() -> None:
    propagation = _one(Target("w1", name="w1"), jsonpath="{.status.phase}", equals="Done")
    for phase in ("New", "Doing"):
        assert propagation.seen(WIDGET, Sighting(200, "ns", "w1"), {}, {"status": {"phase": phase}})
    assert propagation.take_rows() == []
    propagation.seen(WIDGET, Sighting(300, "ns", "w1"), {}, {"status": {"phase": "Done"}})
    assert [row.seen_ns for row in propagation.take_rows()] == [300]


@pytest.mark.parametrize(
    "told", [{"metadata": {}}, _owned(("example.com/v1", "Widget", "w1"))], ids=["relist", "event"]
)
def test_a_deletion_is_awaited_also_where_its_news_holds_only_a_name(told: dict[str, Any]) -> None:
    propagation = _one(Target("w1", owner=("Widget.example.com", "w1")), CONFIG, deleted=True)
    here = _owned(("example.com/v1", "Widget", "w1"))
    for _ in range(2):
        assert propagation.seen(CONFIG, Sighting(200, "ns", "c"), {}, here)
    assert (propagation.take_rows(), propagation.missing) == ([], 1)
    propagation.gone(CONFIG, Sighting(300, "ns", "another"), {}, {"metadata": {}})
    propagation.gone(CONFIG, Sighting(310, "ns", "c"), {}, told)
    assert [row.seen_ns for row in propagation.take_rows()] == [310]
    propagation.gone(CONFIG, Sighting(320, "ns", "c"), {}, told)
    assert propagation.take_rows() == []


def test_a_deletion_is_no_sight_of_a_living_object() -> None:
    propagation = _one(Target("w1", name="w1"))
    propagation.gone(WIDGET, Sighting(300, "ns", "w1"), {}, {"metadata": {}})
    assert propagation.take_rows() == []


@pytest.mark.parametrize("remaining", [True, False])
def test_objects_that_must_stay_count_only_while_they_are_there(remaining: bool) -> None:
    wanted = Expected(WIDGET, 2, NAMESPACE, {"harness.dev/run": RUN_ID}, remaining=remaining)
    run = context(ListSink(), ProcessSubject(), kinds=[WIDGET], expected=[wanted])
    collector, state = LatencyCollector(), _Kind(WIDGET, [wanted])
    for number, type_ in ((1, "ADDED"), (2, "ADDED"), (1, "DELETED")):
        metadata = {"namespace": NAMESPACE, "name": f"w{number}", "labels": {"harness.dev/run": RUN_ID}}
        collector._on_event(run, state, WatchEvent(type_, {"metadata": metadata}, 10))  # type: ignore[arg-type]
    assert state.values()["objects"] == 1
    assert state.values()["objects.matched"] == (1 if remaining else 2)
