"""Scenarios written from numbers: they load, and add up to what was counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.core.inventory import Held, Inventory
from harness.core.kinds import find
from harness.scenario import fanout, synthetic
from harness.scenario.load import load
from harness.scenario.model import Create, Scenario
from harness.scenario.resolve import resolve


def held(alias: str, count: int, *, sizes: list[int] | None = None, owned: int = 0, labels: int = 0) -> Held:
    made = Held(find(alias), count=count, owned=owned)
    for size in sizes or []:
        made.sizes.add(size)
    for _ in range(count):
        made.labels.add({f"company.example/{number}": "customer" for number in range(labels)})
    return made


def scenario_of(tmp_path: Path, *kinds: Held) -> tuple[Scenario, str]:
    text = synthetic.write(Inventory("v1.36.3", None, {item.kind.alias: item for item in kinds}), name="mine")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return resolve(load(path)), text


def created(scenario: Scenario, alias: str) -> list[Create]:
    return [step for step in scenario.load if isinstance(step, Create) and step.resource.alias == alias]


def test_counts_sizes_and_fan_out_are_kept(tmp_path: Path) -> None:
    sizes = [100] * 900 + [50_000] * 90 + [900_000] * 10
    scenario, _ = scenario_of(
        tmp_path,
        held("Secret", 1000, sizes=sizes, labels=3),
        held("GitRepo", 30),
        held("Bundle", 80, sizes=[2000] * 80, owned=70),
        held("BundleDeployment", 23 * 5),
        held("Cluster.management.cattle.io", 5, labels=2),
        held("Cluster.fleet.cattle.io", 5),
    )
    secrets = created(scenario, "Secret")
    assert sum(step.count for step in secrets) == 1000
    spread = [step.size for step in secrets if isinstance(step.size, tuple)]
    assert sum(step.count * sum(size) / 2 for step, size in zip(secrets, spread, strict=True)) == sum(sizes)
    assert all(len(step.labels) == 3 for step in secrets)
    existing = {item.kind.alias: item.count for item in fanout.expected(scenario, fanout.NO_RUN)}
    assert existing["Bundle"] == 80
    assert existing["Cluster.fleet.cattle.io"] == 5
    # GitRepos are matched whole: the count comes as near as their Bundles allow
    assert abs(existing["BundleDeployment"] - 115) <= 5 * 2
    assert not created(scenario, "Cluster.fleet.cattle.io")


def test_nothing_of_the_cluster_but_label_keys_is_in_the_file(tmp_path: Path) -> None:
    _, text = scenario_of(tmp_path, held("Secret", 5, sizes=[10] * 5, labels=2))
    assert "customer" not in text
    above, _, document = text.partition("name: mine")
    assert "# " in above
    assert "company.example/0 (5)" in above
    assert "company.example" not in document


def test_fleet_clusters_without_rancher_are_created_themselves(tmp_path: Path) -> None:
    scenario, _ = scenario_of(tmp_path, held("Cluster.fleet.cattle.io", 7))
    assert [step.count for step in created(scenario, "Cluster.fleet.cattle.io")] == [7]


def test_tiny_bundles_are_as_small_as_a_bundle_can_be(tmp_path: Path) -> None:
    scenario, _ = scenario_of(tmp_path, held("Bundle", 3, sizes=[1, 1, 1]))
    assert [step.size for step in created(scenario, "Bundle")] == [(512, 512)]


def test_an_empty_cluster_is_said_to_be_empty() -> None:
    with pytest.raises(UsageError, match="namespace x holds nothing that a load can create"):
        synthetic.write(Inventory("v1", "x", {"Secret": held("Secret", 0)}), name="mine")
