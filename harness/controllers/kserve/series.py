"""Series of this controller's own, beside those that every controller has."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from harness.controllers.runtime.metrics import Metrics


class Series:
    """How Secrets are found, and how near the memory limit is. Label values are few and fixed."""

    def __init__(self, metrics: Metrics) -> None:
        registry = metrics.registry
        self.reads = Counter(
            "kserve_secret_reads", "Secrets looked up, by where the answer came from", ("source",), registry=registry
        )
        for source in ("cache", "api"):
            self.reads.labels(source=source)
        self.cached = Gauge("kserve_secrets_cached", "Secrets kept in memory", registry=registry)
        self.drops = Counter("kserve_cache_drops", "Caches given up, by cause", ("cause",), registry=registry)
        for cause in ("threshold", "pressure"):
            self.drops.labels(cause=cause)
        self.admitted = Counter(
            "kserve_admission_reviews", "Admission reviews answered, by answer", ("result",), registry=registry
        )
        for result in ("allowed", "error"):
            self.admitted.labels(result=result)
        self.working_set = Gauge(
            "kserve_memory_working_set_ratio", "Working set over the memory limit; absent without a limit", (),
            registry=None,
        )  # fmt: skip
        self.alert = Gauge("kserve_memory_alert", "1: the working set is above alert_at of the limit", registry=None)
        self._registry = registry

    def watch_memory(self) -> None:
        """There is a limit: from now on the two series about it are served."""
        self._registry.register(self.working_set)
        self._registry.register(self.alert)
