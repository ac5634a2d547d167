"""Types of profiles as Pyroscope names them, and how those of a run are chosen."""

from __future__ import annotations

from urllib.parse import quote

CPU = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
HEAP = "memory:inuse_space:bytes:space:bytes"


def query(kind: str, scenario: str, run: str) -> str:
    """Of one run, for an address of Pyroscope's own pages; `scenario` and `run` are variables of the dashboard."""
    text = quote(f"{kind}{selector(scenario, run)}", safe="")
    for name in (scenario, run):  # Grafana finds its variables in plain text only
        text = text.replace(quote(name, safe=""), name)
    return text


def selector(scenario: str, run: str) -> str:
    """Of one run. A server with v2 storage finds new profiles by `service_name` only, which is the scenario."""
    return f'{{service_name="{scenario}", run_id="{run}"}}'
