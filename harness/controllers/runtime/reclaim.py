"""Giving memory back: what a Python process has freed is not yet the kernel's.

The collector finds cycles; `malloc_trim` returns what glibc keeps of freed memory for the next allocation. Measured on an
informer of 8,000 Secrets: without it the resident set stays where its peak was.
"""

from __future__ import annotations

import ctypes
import gc


def collect() -> int:
    """Run a full collection; how many objects it freed."""
    return gc.collect()


def trim() -> bool:
    """Have glibc return free memory to the kernel; whether there was any, False too where the C library has no such call."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError):  # musl
        return False
