"""Types of profiles as Pyroscope names them, and how those of a run are chosen."""

from __future__ import annotations

CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
HEAP = "memory:inuse_space:bytes:space:bytes"


def selector(scenario: str, run: str) -> str:
    """Of one run. A server with v2 storage finds new profiles by `service_name` only, which is the scenario."""
    return f'{{service_name="{scenario}", run_id="{run}"}}'
