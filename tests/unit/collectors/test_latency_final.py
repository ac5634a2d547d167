"""What counts of a kind of which the load deletes objects: those that are there, no fewer and no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.collectors.latency import LatencyCollector, _Kind
from harness.core.handles import Expected, RunContext
from harness.core.ids import RUN_LABEL
from harness.core.kinds import find
from harness.kube.watch import WatchEvent

RUN = "20261122-093015-k4x7q"
SECRET = find("Secret")


def watched(events: str, *, final: bool, count: int = 2) -> dict[str, int]:
    """The values after events such as `+a -a`."""
    state = _Kind(SECRET, [Expected(SECRET, count, None, {RUN_LABEL: RUN}, final=final)])
    clock = SimpleNamespace(from_monotonic_ns=lambda ns: ns)
    context = cast("RunContext", SimpleNamespace(run_id=RUN, namespace=f"run-{RUN}", clock=clock, beating=()))
    collector = LatencyCollector()
    for number, (sign, name) in enumerate(map(tuple, events.split())):
        metadata: dict[str, Any] = {"name": name, "namespace": "n", "labels": {RUN_LABEL: RUN}}
        event = WatchEvent("ADDED" if sign == "+" else "DELETED", {"metadata": metadata}, number)
        collector._on_event(context, state, event)
    return state.values()


@pytest.mark.parametrize(
    ("events", "matched", "surplus"),
    [
        ("+a +b +c", 2, 1),  # one too many is there
        ("+a +b +c -c", 2, 0),
        ("+a +b -b", 1, 0),
        ("+a +b -b +b", 2, 0),  # deleted and made again
        ("", 0, 0),
    ],
)
def test_of_a_final_expectation_what_is_there_counts(events: str, matched: int, surplus: int) -> None:
    values = watched(events, final=True)
    assert (values["objects.matched"], values["objects.surplus"]) == (matched, surplus)


def test_of_any_other_what_was_ever_seen_counts() -> None:
    values = watched("+a +b -b", final=False)
    assert (values["objects.matched"], "objects.surplus" in values) == (2, False)
