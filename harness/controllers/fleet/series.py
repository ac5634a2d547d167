"""Metrics about Bundles, and how a controller's own metrics become a leak (docs/claims.md row 1).

With `unbounded` each Bundle has series of its own, by name, and they stay when it is gone: a process that lives long serves, and
holds, a series for every Bundle there ever was. With `bounded` there is one for each namespace: the sum over its Bundles.
"""

from __future__ import annotations

from collections import Counter
from enum import StrEnum

from prometheus_client import CollectorRegistry, Gauge


class SeriesMode(StrEnum):
    """Values of the switch `metrics`."""

    UNBOUNDED = "unbounded"
    BOUNDED = "bounded"


class BundleSeries:
    """`fleet_bundle_desired_ready` and `fleet_bundle_ready`."""

    def __init__(self, registry: CollectorRegistry, mode: SeriesMode) -> None:
        self._mode = mode
        labels = ("namespace", "name") if mode is SeriesMode.UNBOUNDED else ("namespace",)
        self._desired = Gauge(
            "fleet_bundle_desired_ready", "BundleDeployments there should be", labels, registry=registry
        )
        self._ready = Gauge("fleet_bundle_ready", "BundleDeployments that are ready", labels, registry=registry)
        self._last: dict[str, tuple[int, int]] = {}
        self._sums: Counter[tuple[str, int]] = Counter()

    def observe(self, key: str, desired: int, ready: int) -> None:
        """A Bundle was reconciled."""
        if self._mode is SeriesMode.UNBOUNDED:
            namespace, _, name = key.rpartition("/")
            self._desired.labels(namespace=namespace, name=name).set(desired)
            self._ready.labels(namespace=namespace, name=name).set(ready)
            return
        self._replace(key, (desired, ready))

    def forget(self, key: str) -> None:
        """The Bundle is gone."""
        if self._mode is SeriesMode.BOUNDED and key in self._last:
            self._replace(key, None)

    def _replace(self, key: str, now: tuple[int, int] | None) -> None:
        before = self._last.pop(key, (0, 0))
        if now is not None:
            self._last[key] = now
        namespace = key.rpartition("/")[0]
        for number, gauge in enumerate((self._desired, self._ready)):
            self._sums[namespace, number] += (now or (0, 0))[number] - before[number]
            gauge.labels(namespace=namespace).set(self._sums[namespace, number])
