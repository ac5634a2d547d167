"""No long garbage collections while times are measured.

A full collection visits every object of the process. With 30,000 awaited effects it stopped the harness for 50 to 330 ms at a
time, and every event that came meanwhile was stamped that much too late (docs/accuracy.md). So what is there when measuring
begins is set aside (`gc.freeze`), and only the young generations are collected, in about a millisecond, until it ends.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from harness.core.sinks import Sink

_NEVER = 2**31 - 1
"""Collections of the middle generation before a full one."""


@contextmanager
def no_long_pauses(sink: Sink | None = None) -> Iterator[None]:
    """While this lasts no full collection takes place by itself; cycles that live long wait until it is over.

    An event `garbage` says how many there were all the same: somebody else may ask for one.
    """
    gc.collect()
    gc.freeze()
    thresholds, before = gc.get_threshold(), _full_collections()
    gc.set_threshold(thresholds[0], thresholds[1], _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        if sink is not None:
            sink.event("garbage", full_collections=_full_collections() - before)


def _full_collections() -> int:
    return int(gc.get_stats()[-1]["collections"])
