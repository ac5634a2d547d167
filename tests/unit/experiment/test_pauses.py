"""Full garbage collections while times are measured."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from harness.experiment.pauses import no_long_pauses
from tests.collecting import ListSink


class Cycle:
    """Refers to itself: only a collection of its generation removes it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def generations() -> Iterator[list[int]]:
    """The generation of each collection that takes place."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)


def _many_objects() -> list[Cycle]:
    """So many that the interpreter would look at all: it does when a quarter more has come to live long."""
    return [Cycle() for _ in range(gc.get_freeze_count() + len(gc.get_objects()))]


def test_only_young_objects_are_collected_while_it_lasts(generations: list[int]) -> None:
    before = gc.get_threshold()
    sink = ListSink()
    with no_long_pauses(sink):
        assert gc.get_freeze_count() > 0
        del generations[:]
        kept = _many_objects()
        assert 1 in generations
        assert 2 not in generations
    assert sink.of("garbage") == [{"type": "garbage", "full_collections": 0}]
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
    del generations[:]
    kept += _many_objects()
    assert 2 in generations, "without it full collections do take place"


def test_a_full_collection_that_somebody_asks_for_is_told() -> None:
    sink = ListSink()
    with no_long_pauses(sink):
        gc.collect()
    assert sink.of("garbage") == [{"type": "garbage", "full_collections": 1}]


def test_what_it_changes_is_restored_after_an_error() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), no_long_pauses():
        raise KeyError
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
