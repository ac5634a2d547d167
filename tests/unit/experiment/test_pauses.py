"""Full garbage collections while times are measured."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from harness.experiment.pauses import no_long_pauses


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
    return [Cycle() for _ in range(100_000)]


def test_only_young_objects_are_collected_while_it_lasts(generations: list[int]) -> None:
    before = gc.get_threshold()
    with no_long_pauses():
        assert gc.get_freeze_count() > 0
        del generations[:]
        kept = _many_objects()
        assert 1 in generations
        assert 2 not in generations
    assert len(kept) == 100_000
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
    del generations[:]
    kept += _many_objects()
    kept += _many_objects()
    assert 2 in generations, "without it full collections do take place"


def test_what_it_changes_is_restored_after_an_error() -> None:
    before = gc.get_threshold()
    with pytest.raises(KeyError), no_long_pauses():
        raise KeyError
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
