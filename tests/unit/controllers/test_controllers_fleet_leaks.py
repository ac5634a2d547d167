"""The two published leaks of Fleet as switches: what stays when a Bundle is gone, and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from harness.controllers.fleet.helm import MOST_RELEASES, Helm, HelmCache
from harness.controllers.fleet.options import parse
from harness.controllers.fleet.series import BundleSeries, SeriesMode


def bundle(name: str, content: str = "kind: ConfigMap", generation: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", "generation": generation},
        "spec": {"resources": [{"name": "a.yaml", "content": content}]},
    }


def test_a_release_is_rendered_once_and_again_when_it_changes() -> None:
    helm = Helm(HelmCache.BOUNDED)
    first = helm.render("ns/a", bundle("a"))
    assert helm.render("ns/a", bundle("a")) is first
    assert b"ConfigMap" in first.manifest
    changed = helm.render("ns/a", bundle("a", "kind: Secret", generation=2))
    assert changed.checksum != first.checksum


@pytest.mark.parametrize(("mode", "left"), [(HelmCache.LEAKING, 200), (HelmCache.BOUNDED, 0)])
def test_what_is_left_of_bundles_that_are_gone(mode: HelmCache, left: int) -> None:
    helm = Helm(mode)
    for number in range(200):
        helm.render(f"ns/{number}", bundle(str(number)))
    assert len(helm) == (200 if mode is HelmCache.LEAKING else MOST_RELEASES)
    for number in range(200):
        helm.forget(f"ns/{number}")
    assert len(helm) == left


def lines(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if line.startswith("fleet_bundle_")]


def test_bounded_series_are_sums_that_come_back() -> None:
    registry = CollectorRegistry()
    series = BundleSeries(registry, SeriesMode.BOUNDED)
    for name, ready in (("a", 1), ("b", 2), ("a", 3)):
        series.observe(f"ns/{name}", 4, ready)
    assert lines(registry) == [
        'fleet_bundle_desired_ready{namespace="ns"} 8.0',
        'fleet_bundle_ready{namespace="ns"} 5.0',
    ]
    for name in ("a", "b", "b"):
        series.forget(f"ns/{name}")
    assert lines(registry) == [
        'fleet_bundle_desired_ready{namespace="ns"} 0.0',
        'fleet_bundle_ready{namespace="ns"} 0.0',
    ]


def test_unbounded_series_stay() -> None:
    registry = CollectorRegistry()
    series = BundleSeries(registry, SeriesMode.UNBOUNDED)
    for number in range(50):
        series.observe(f"ns/{number}", 1, 1)
        series.forget(f"ns/{number}")
    assert len(lines(registry)) == 100


def test_switches() -> None:
    options = parse(["--kubeconfig", "k"])
    assert (options.helm_cache, options.series) == (HelmCache.BOUNDED, SeriesMode.BOUNDED)
    options = parse(["--kubeconfig", "k", "--helm_cache=leaking", "--metrics=unbounded"])
    assert (options.helm_cache, options.series) == (HelmCache.LEAKING, SeriesMode.UNBOUNDED)
