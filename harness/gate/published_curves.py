"""The curves of the published cases: one metric over one parameter, as data, written before anything was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CurveSpec:
    """One metric over one parameter; for each line its settings. One run for each point."""

    id: str
    row: int
    title: str
    scenario: str
    x: str
    points: tuple[int, ...]
    metric: str
    lines: Mapping[str, Mapping[str, str]]
    common: Mapping[str, str] = field(default_factory=dict)
    also: Mapping[str, int] = field(default_factory=dict)
    """Parameters that follow x, and their factor: `handed_on` is twice `secrets`."""
    kills: Mapping[str, str] = field(default_factory=dict)
    """By line the case whose `off` is the same, under a limit that kills: its count is predicted from the line."""

    def sets(self, line: str, x: int) -> dict[str, str]:
        """All values of one point."""
        follow = {name: str(factor * x) for name, factor in self.also.items()}
        return {**self.common, **self.lines[line], self.x: str(x), **follow}


CURVES: tuple[CurveSpec, ...] = (
    CurveSpec(
        "2-repos", 2, "Latency of a flip over the number of GitRepos", "label-flip", "repos", (1, 30, 100, 300),
        "latency.flip.max",
        {
            "always, all": {"status_patch": "always", "event_mapping": "all"},
            "changed, matching": {"status_patch": "changed", "event_mapping": "matching"},
        },
    ),
    CurveSpec(
        "3-latency", 3, "Latency of a flip over the number of workers", "label-flip", "workers",
        (1, 5, 10, 50, 100, 200, 500), "latency.flip.max",
        {"status_patch=always, event_mapping=all": {"status_patch": "always", "event_mapping": "all"}},
        common={"repos": "100"},
    ),
    CurveSpec(
        "3-queue", 3, "Items waiting at most, over the number of workers", "label-flip", "workers",
        (1, 10, 50, 100, 200, 500), "queue.depth.max",
        {"status_patch=always, event_mapping=all": {"status_patch": "always", "event_mapping": "all"}},
        common={"repos": "100"},
    ),
    CurveSpec(
        "3-conflicts", 3, "Conflicts per reconcile over the number of workers, by what follows one", "label-flip", "workers",
        (1, 10, 50, 200, 500), "conflicts.per_reconcile",
        {"retry": {"options.conflict": "retry"}, "requeue": {"options.conflict": "requeue"}},
        # Somebody else writes each Bundle, too, while the flip is worked on: without that nothing can conflict.
        common={
            "repos": "100", "status_patch": "always", "event_mapping": "all", "bundles_from": "load", "edits": "1000",
        },
    ),
    CurveSpec(
        "3-memory", 3, "Resident memory over the number of workers of each of seven controllers", "label-flip", "workers",
        (1, 50, 100, 200, 500), "memory.rss.settled", {"asyncio": {}}, common={"repos": "30"},
    ),
    CurveSpec(
        "4-peak", 4, "Peak memory over the number of Secrets that are there at the start", "watcher-init", "secrets",
        (2000, 8000, 20000), "memory.cgroup.peak",
        {
            "buffered": {}, "streaming": {"initial_list": "streaming"},
            "watch_list": {"initial_list": "streaming", "watch_list": "on"},
        },
        also={"handed_on": 2},
    ),
    CurveSpec(
        "4-native-peak", 4, "Peak memory over the number of Secrets that are there at the start, in Rust",
        "native-watcher-init", "secrets", (2000, 8000, 20000), "memory.cgroup.peak",
        {"0.91": {"kube": "0.91"}, "current": {}, "current, watch_list": {"watch_list": "on"}}, also={"handed_on": 2},
    ),
    CurveSpec(
        "5-native-go", 5, "Memory over the number of Secrets, in Go", "native-secrets-8k", "secrets",
        (0, 1000, 4000, 8000, 16000), "memory.cgroup.settled",
        # The form of the published case: the cache comes about at the first read.
        {
            "cache": {"watch": "off", "disable_for": "none"},
            "DisableFor": {"watch": "off", "disable_for": "Secret"},
        },
        kills={"cache": "5-native-killed"},
    ),
    CurveSpec(
        "5-native-rust", 5, "Memory over the number of Secrets, in Rust", "native-watcher-init", "secrets",
        (1000, 4000, 8000, 16000), "memory.cgroup.settled", {"reflector": {"store": "on"}}, also={"handed_on": 2},
    ),
    CurveSpec(
        "5-memory", 5, "Memory over the number of Secrets, by access mode", "kserve-secrets-8k", "secrets",
        (0, 1000, 4000, 8000, 16000), "memory.cgroup.settled",
        {"cache": {"mode": "cache"}, "get": {"mode": "get"}, "auto": {"mode": "auto"}}, common={"memory_limit": "1Gi"},
        kills={"cache": "5-killed"},
    ),
)  # fmt: skip
