"""Prometheus metrics under the names of controller-runtime and client-go, so that existing dashboards read them."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

_TIME_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_QUEUE_BUCKETS = tuple(10.0**power for power in range(-6, 4))

RESULTS = ("success", "error", "requeue", "requeue_after")


class QueueSeries:
    """The series of one work queue; implements `workqueue.QueueMetrics`."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        labels = {"name": name, "controller": name}
        self._depth = metrics.queue_depth.labels(**labels)
        self._adds = metrics.queue_adds.labels(**labels)
        self._retries = metrics.queue_retries.labels(**labels)
        self._waited = metrics.queue_duration.labels(**labels)
        self._worked = metrics.work_duration.labels(**labels)

    def watch_depth(self, depth: Callable[[], int]) -> None:
        """Read the depth from `depth` whenever somebody asks."""
        self._depth.set_function(depth)

    def added(self) -> None:
        """A key was taken in."""
        self._adds.inc()

    def taken(self, waited_s: float) -> None:
        """A worker got a key."""
        self._waited.observe(waited_s)

    def finished(self, worked_s: float) -> None:
        """A worker is done with a key."""
        self._worked.observe(worked_s)

    def retried(self) -> None:
        """A key comes back because of a failure."""
        self._retries.inc()


class ControllerSeries:
    """The series of one controller."""

    def __init__(self, metrics: Metrics, name: str, workers: int) -> None:
        self._results = {result: metrics.reconciles.labels(controller=name, result=result) for result in RESULTS}
        self._errors = metrics.reconcile_errors.labels(controller=name)
        self._time = metrics.reconcile_time.labels(controller=name)
        self._active = metrics.active_workers.labels(controller=name)
        metrics.max_concurrent.labels(controller=name).set(workers)

    def started(self) -> None:
        """A worker begins a reconcile."""
        self._active.inc()

    def ended(self, result: str, seconds: float) -> None:
        """It is over; `result` is one of RESULTS."""
        self._active.dec()
        self._results[result].inc()
        if result == "error":
            self._errors.inc()
        self._time.observe(seconds)


class Metrics:
    """A registry of one process. Label values are few and fixed: nothing here grows with the objects."""

    def __init__(self) -> None:
        # A third more series that nothing reads.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves this one function untyped
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        queue, controller = ("name", "controller"), ("controller",)
        self.queue_depth = Gauge("workqueue_depth", "Keys waiting for a worker", queue, registry=self.registry)
        self.queue_adds = Counter("workqueue_adds", "Keys taken in", queue, registry=self.registry)
        self.queue_retries = Counter("workqueue_retries", "Keys delayed after a failure", queue, registry=self.registry)
        self.queue_duration = Histogram(
            "workqueue_queue_duration_seconds",
            "Time a key waits",
            queue,
            buckets=_QUEUE_BUCKETS,
            registry=self.registry,
        )
        self.work_duration = Histogram(
            "workqueue_work_duration_seconds", "Time a key is worked on", queue, buckets=_QUEUE_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.reconciles = Counter(
            "controller_runtime_reconcile", "Reconciles by result", ("controller", "result"), registry=self.registry
        )
        self.reconcile_errors = Counter(
            "controller_runtime_reconcile_errors", "Reconciles that failed", controller, registry=self.registry
        )
        self.reconcile_time = Histogram(
            "controller_runtime_reconcile_time_seconds", "Time of a reconcile", controller, buckets=_TIME_BUCKETS,
            registry=self.registry,
        )  # fmt: skip
        self.active_workers = Gauge(
            "controller_runtime_active_workers", "Workers that are busy", controller, registry=self.registry
        )
        self.max_concurrent = Gauge(
            "controller_runtime_max_concurrent_reconciles", "Workers there are", controller, registry=self.registry
        )
        self.leader = Gauge(
            "leader_election_master_status", "1: this process is leader", ("name",), registry=self.registry
        )
        self.requests = Counter(
            "rest_client_requests", "Requests by answer (`<error>`: none came)", ("code", "method", "host"),
            registry=self.registry,
        )  # fmt: skip

    def request_counter(self, host: str) -> Callable[[int, str], None]:
        """A function that counts one answer of `host`: status (0: none came) and method."""

        def count(status: int, method: str) -> None:
            self.requests.labels(code=str(status) if status else "<error>", method=method, host=host).inc()

        return count
