"""Collectors by the names that scenarios and the command line use."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.collectors.apiserver import ApiServerCollector
from harness.collectors.audit import AuditCollector
from harness.collectors.base import Collector
from harness.collectors.host import HostCollector
from harness.collectors.latency import LatencyCollector
from harness.collectors.memory import MemoryCollector
from harness.collectors.memray import MemrayAttachCollector, MemrayCollector
from harness.collectors.meter import MeterCollector
from harness.collectors.metrics import MetricsCollector
from harness.collectors.ondemand import OnDemandCollector, Settings
from harness.collectors.oom import OomCollector
from harness.collectors.pyroscope import PyroscopeCollector
from harness.collectors.tasks import TasksCollector
from harness.core.errors import UsageError
from harness.core.handles import Progress, Silent


@dataclass(frozen=True, slots=True)
class _Options:
    progress: Progress
    memray: str
    pyroscope_url: str | None
    pyroscope_memory: bool
    on_demand: Settings
    memray_since: str | None = None


_MAKERS: dict[str, Callable[[_Options], Collector]] = {
    "memory": lambda _: MemoryCollector(),
    "oom": lambda _: OomCollector(),
    "tasks": lambda options: TasksCollector(heap_profiles=options.memray_since is not None),
    "metrics": lambda _: MetricsCollector(),
    "audit": lambda _: AuditCollector(),
    "latency": lambda _: LatencyCollector(),
    "host": lambda _: HostCollector(),
    "apiserver": lambda _: ApiServerCollector(),
    "memray": lambda options: (
        MemrayAttachCollector(options.progress, options.memray_since)
        if options.memray == "attach"
        else MemrayCollector(options.progress)
    ),
    "meter": lambda _: MeterCollector(),
    "on-demand": lambda options: OnDemandCollector(options.progress, options.on_demand),
    "pyroscope": lambda options: PyroscopeCollector(
        options.progress, server=options.pyroscope_url, memory=options.pyroscope_memory
    ),
}

NAMES: tuple[str, ...] = tuple(_MAKERS)


def create(
    names: Sequence[str],
    *,
    memray: str = "off",
    pyroscope: str | None = None,
    pyroscope_memory: bool = False,
    memray_since: str | None = None,
    on_demand: Settings | None = None,
    progress: Progress | None = None,
) -> list[Collector]:
    """One collector per distinct name, in the order given, then the profilers asked for beside them.

    `memray` is `launch`, `attach` or `off`; `memray_since` names the phase from which it is attached. `pyroscope` is `on`
    (profiles stay in the record) or the URL of a server. `pyroscope_memory` profiles memory too, which is heavy.
    `on_demand`: profile in windows only. Raises UsageError for an unknown name.
    """
    # In this order, for they are taken off in reverse: captures of memray are in the record before they are sent.
    wanted = [*names, *(["pyroscope"] if pyroscope is not None else []), *(["memray"] if memray != "off" else [])]
    wanted += ["on-demand"] if on_demand is not None else []
    options = _Options(
        progress or Silent(),
        memray,
        None if pyroscope in (None, "on") else pyroscope,
        pyroscope_memory,
        on_demand or Settings(),
        memray_since,
    )
    made = []
    for name in dict.fromkeys(wanted):
        if name not in _MAKERS:
            near = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(NAMES)}"
            raise UsageError(f"there is no collector {name!r}", remedy=hint)
        made.append(_MAKERS[name](options))
    return made
