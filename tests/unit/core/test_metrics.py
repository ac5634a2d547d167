"""The metric catalogue: names resolve to one entry, wrong ones get a suggestion, the page is in step."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core import metrics


def test_a_probe_and_a_kind_with_dots_are_read_from_the_name() -> None:
    assert metrics.resolve("latency.flip.p99", probes=["flip"]).probe == "flip"
    assert metrics.resolve("completeness.Cluster.fleet.cattle.io").kind == "Cluster.fleet.cattle.io"
    name = metrics.resolve("api.create.Secret.p50")
    assert (name.verb, name.kind) == ("create", "Secret")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("memory.rss.peek", "did you mean memory.rss.peak"),
        ("latency.flp.p99", "did you mean 'flip'"),
        ("completeness.Secrt", "did you mean Secret"),
        ("completeness.Cluster", "ambiguous; write Cluster.fleet.cattle.io or Cluster.management.cattle.io"),
        ("zzz", "docs/metrics.md"),
    ],
)
def test_wrong_names_get_a_near_miss(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        metrics.resolve(name, probes=["flip"])


def test_every_name_of_the_catalogue_resolves_to_itself() -> None:
    for metric in metrics.CATALOGUE:
        concrete = metric.name.replace("KIND", "Secret").replace("PROBE", "flip").replace("VERB", "create")
        assert metrics.resolve(concrete).metric is metric


def test_the_page_lists_the_catalogue() -> None:
    page = Path(__file__).parents[3] / "docs" / "metrics.md"
    assert page.read_text() == metrics.page(), "run `make docs`"
