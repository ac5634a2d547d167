"""Continuous profiling of this process by pyroscope-io, where the harness has put that on the path."""

from __future__ import annotations

import json


def start(settings: str) -> None:
    """Configure pyroscope-io with `settings`: the keyword arguments of its `configure` as JSON, and `flush_at_exit`.

    The flush sends what was sampled since the last upload. It is for a server that is known to answer: an exit must not
    wait for a stuck one.
    """
    import atexit

    import pyroscope

    options = json.loads(settings)
    flush = options.pop("flush_at_exit")
    pyroscope.configure(**options)
    if flush:
        atexit.register(pyroscope.shutdown)
