"""The series that collectors sample while a run goes on: type, unit and meaning of each, for Prometheus and the dashboards.

Results (`core.metrics`) are made of them. What a subject says on its own `/metrics` is kept under its own names and is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Type = Literal["gauge", "counter"]
Unit = Literal["bytes", "seconds", "ratio", ""]


@dataclass(frozen=True, slots=True)
class Series:
    """One name in `samples`; a counter never falls within a run."""

    name: str
    type: Type
    unit: Unit
    meaning: str

    @property
    def family(self) -> str:
        """Its name by Prometheus' conventions, without a counter's `_total`: `harness_memory_rss_bytes`."""
        parts = self.name.split(".")
        if self.type == "counter" and parts[-1] == "total":
            parts.pop()
        if self.unit and not parts[-1].endswith(self.unit):
            parts.append(self.unit)
        return "_".join(["harness", *parts])


CATALOGUE: tuple[Series, ...] = (
    Series("memory.rss", "gauge", "bytes", "resident set of the subject's processes"),
    Series("memory.anon", "gauge", "bytes", "anonymous memory of the subject's processes"),
    Series("memory.cgroup", "gauge", "bytes", "memory charged to the subject's cgroup"),
    Series("memory.cgroup.peak", "gauge", "bytes", "the kernel's high mark of the cgroup"),
    Series("memory.limit", "gauge", "bytes", "memory limit of the subject"),
    Series("memory.working_set", "gauge", "bytes", "memory of the container that its kubelet cannot reclaim"),
    Series("memory.heap", "gauge", "bytes", "heap in use after a forced collection, by part"),
    Series(
        "memory.heap.free", "gauge", "bytes", "held by the allocators and not handed out, after a forced collection"
    ),
    Series("memory.file", "gauge", "bytes", "page cache of the subject's cgroup"),
    Series("load.rss", "gauge", "bytes", "resident set of the load generator"),
    Series("agents.rss", "gauge", "bytes", "resident set of the fake agents' process"),
    Series("apiserver.rss", "gauge", "bytes", "resident set of the API server"),
    Series("overhead.rss", "gauge", "bytes", "resident set of the harness and its supervisors"),
    Series("overhead.threads", "gauge", "", "threads of the harness's process"),
    Series("overhead.fds", "gauge", "", "open file descriptors of the harness's process"),
    Series("threads", "gauge", "", "threads of the subject"),
    Series("fds", "gauge", "", "open file descriptors of the subject"),
    Series("tasks", "gauge", "", "asyncio tasks or goroutines, by coroutine or all"),
    Series("queue.depth", "gauge", "", "items in the work queues of the subject"),
    Series("metrics.series", "gauge", "", "series on the subject's /metrics"),
    Series("objects", "gauge", "", "objects alive, by kind"),
    Series("objects.matched", "gauge", "", "expected objects seen, by kind"),
    Series("objects.surplus", "gauge", "", "objects alive although the load has deleted them, by kind"),
    Series("load.watchers", "gauge", "", "watches open as load"),
    Series("agents.waiting", "gauge", "", "BundleDeployments that the fake agents have seen and not answered yet"),
    Series("apiserver.inflight", "gauge", "", "requests in flight in the API server, the most within a second"),
    Series("loop.lag", "gauge", "seconds", "how late the subject's event loop is"),
    Series(
        "load.loop_lag", "gauge", "seconds", "how late the load generator's event loop is, worst since the last sample"
    ),
    Series(
        "agents.loop_lag", "gauge", "seconds", "how late the fake agents' event loop is, worst since the last sample"
    ),
    Series(
        "overhead.loop_lag", "gauge", "seconds", "how late the harness's event loop is, worst since the last sample"
    ),
    Series("oom.thrash_seconds", "gauge", "seconds", "how long the subject has been at its limit without progress"),
    Series("api.list", "gauge", "seconds", "how long each list request of the subject took, by kind"),
    Series("startup.first_read", "gauge", "seconds", "run time at which the subject first read objects of the kind"),
    Series("host.pressure.cpu", "gauge", "ratio", "share of time in which some task waited for a CPU"),
    Series("host.pressure.memory", "gauge", "ratio", "share of time in which some task waited for memory"),
    Series("cpu.seconds", "counter", "seconds", "CPU time of the subject"),
    Series("cpu.throttled", "counter", "seconds", "time in which the subject was throttled at its CPU limit"),
    Series("pressure.cpu", "counter", "seconds", "time in which some task of the subject waited for a CPU"),
    Series("pressure.memory", "counter", "seconds", "time in which some task of the subject waited for memory"),
    Series("load.cpu", "counter", "seconds", "CPU time of the load generator"),
    Series("load.worker.cpu", "counter", "seconds", "CPU time of each load worker, and of their master"),
    Series("agents.cpu", "counter", "seconds", "CPU time of the fake agents"),
    Series("apiserver.cpu", "counter", "seconds", "CPU time of the API server"),
    Series("controlplane.cpu", "counter", "seconds", "CPU time of API server, etcd and controllers"),
    Series("host.cpu.busy", "counter", "seconds", "CPU time used on the machine"),
    Series("host.cpu.steal", "counter", "seconds", "CPU time that the machine's host gave to others"),
    Series("overhead.cpu", "counter", "seconds", "CPU time of the harness and its supervisors"),
    Series("overhead.agent.cpu", "counter", "seconds", "CPU time of the agent in the subject"),
    Series("cpu.throttled.periods", "counter", "", "periods in which the subject was throttled"),
    Series("oom.kills", "counter", "", "OOM kills of the subject"),
    Series("oom.limit_hits", "counter", "", "times at which the memory limit was reached"),
    Series("reconciles.total", "counter", "", "reconciles of the subject"),
    Series("writes.total", "counter", "", "writes of the subject that the API server took"),
    Series("writes.noop", "counter", "", "writes of the subject that changed nothing"),
    Series("writes.conflict", "counter", "", "writes of the subject that were refused for a conflict"),
    Series("api.requests", "counter", "", "requests of the subject to the API server"),
    Series("watch.events", "counter", "", "events that the harness's own watches got, by kind"),
    Series("load.watch_events", "counter", "", "events that watches as load got"),
    Series("agents.seen", "counter", "", "deployments that wanted an answer of the fake agents"),
    Series("agents.answered", "counter", "", "deployments that the fake agents have answered"),
    Series("agents.conflicts", "counter", "", "answers that were refused for an older version, as was asked"),
    Series("agents.failed", "counter", "", "answers that the fake agents gave up"),
    Series("agents.late", "counter", "", "answers that were sent more than 1 s after they were due"),
    Series("agents.heartbeats", "counter", "", "reports of Clusters that they are alive"),
    Series("apiserver.rejected", "counter", "", "requests that the API server answered with 429"),
    Series("apiserver.listed", "counter", "bytes", "answers of the API server to lists of all clients, by resource"),
    Series("load.watch_bytes", "counter", "bytes", "bytes that watches as load got"),
)
BY_NAME = {series.name: series for series in CATALOGUE}
