"""No long garbage collections while times are measured.

A full collection visits every object of the process. With 30,000 awaited effects it stopped the harness for 50 to 330 ms at a
time, and every event that came meanwhile was stamped that much too late (docs/accuracy.md). So what is there when measuring
begins is set aside (`gc.freeze`), and only the young generations are collected, in about a millisecond, until it ends.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEVER = 2**31 - 1
"""Collections of the middle generation before a full one."""


@contextmanager
def no_long_pauses() -> Iterator[None]:
    """While this lasts no full collection takes place by itself; cycles that live long wait until it is over."""
    gc.collect()
    gc.freeze()
    before = gc.get_threshold()
    gc.set_threshold(before[0], before[1], _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
