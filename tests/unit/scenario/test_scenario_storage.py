"""What a load takes in etcd, against sums made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.scenario import storage
from harness.scenario.sizes import Distribution
from tests.unit.scenario.scenario_files import scenario

SECRETS = {"create": {"kind": "Secret", "count": 1000, "size": "3KB"}}
NO_FLEET = {"controller": "native-go"}
EACH = 4096  # a Secret of 3 KB: two to a leaf of two pages


def above_base(*load: object, subject: object = NO_FLEET) -> float:
    return (storage.need(scenario(subject=subject, load=list(load))).bytes - storage.BASE_BYTES) / storage.SLACK


@pytest.mark.parametrize(
    ("size", "bytes_"),
    [
        (250, 4096 / 9),  # 370 B each, nine to a page that is nine tenths full
        (1600, 4096 / 2),
        (2500, 4096),  # two have more than one page, and get two
        (3700, 4096),
        (4200, 3 * 4096 / 2),
        (32_000, 8 * 4096),
    ],
)
def test_values_take_whole_pages_two_and_more_to_a_leaf(size: int, bytes_: float) -> None:
    assert storage.on_disk(size) == pytest.approx(bytes_)


def test_the_average_of_a_payload() -> None:
    assert storage.mean((2000, 5000)) == 3500
    assert storage.mean(Distribution("lognormal", 3000, 1.0, 900_000)) == pytest.approx(3000 * 2.71828**0.5, rel=1e-4)
    # Of alpha 2 from 1,000 up to 10,000, all beyond as that: 1000 + 1000² x (1/1000 - 1/10000).
    assert storage.mean(Distribution("pareto", 1000, 2.0, 10_000)) == pytest.approx(1900)
    assert storage.mean(Distribution("pareto", 1000, 1.0, 10_000)) == pytest.approx(1000 + 1000 * 2.302585)
    assert storage.mean(Distribution("lognormal", 3000, 10.0, 5000)) == 5000  # never more than the most


def test_objects_count_once_and_with_their_size() -> None:
    need = storage.need(scenario(subject=NO_FLEET, load=[SECRETS]))
    assert (need.objects, need.revisions) == (1000, 0)
    assert need.bytes == pytest.approx(storage.BASE_BYTES + 1.1 * 1000 * EACH, abs=1)
    large = {"create": {"kind": "Secret", "count": 1000, "size": "30KB"}}
    assert above_base(large) > 7 * above_base(SECRETS)


def test_what_a_controller_brings_about_counts_with_its_revisions() -> None:
    repos = {"create": {"kind": "GitRepo", "count": 100, "bundles": 10}}
    without = storage.need(scenario(subject=NO_FLEET, load=[repos]))
    with_bundles = storage.need(scenario(load=[repos]))
    assert without.objects == 100
    assert with_bundles.objects == 100 + 1000
    assert with_bundles.revisions == 100 * 4 + 1000 * 5
    assert with_bundles.bytes > 10 * (without.bytes - storage.BASE_BYTES) + storage.BASE_BYTES


def test_bundle_deployments_are_one_for_each_pair() -> None:
    clusters = {"create": {"kind": "Cluster.management.cattle.io", "count": 20, "labels": {"env": "prod"}}}
    repos = {"create": {"kind": "GitRepo", "count": 3, "bundles": 2, "matching": 2}}
    assert storage.need(scenario(load=[clusters, repos])).objects == 20 + 20 + 20 + 3 + 6 + 20 * 4


def test_deleted_objects_stay_until_they_are_compacted_away() -> None:
    delete = {"delete": {"kind": "Secret"}}
    again = {"create": {"kind": "Secret", "count": 1000, "size": "3KB"}}
    # 1,000 that are gone and their marks, and 1,000 that are there.
    assert above_base(SECRETS, delete, again) == pytest.approx(2000 * EACH + 1000 * storage.on_disk(150))
    # After a rest of more than the window only what is there is left; most is when the deletion is over.
    rested = above_base(SECRETS, delete, {"pause": "11m"}, again)
    assert rested == pytest.approx(1000 * EACH + 1000 * storage.on_disk(150))


def test_a_slow_load_never_holds_all_its_revisions() -> None:
    def churn(rate: str) -> float:
        few = {"create": {"kind": "Secret", "count": 10, "size": "3KB"}}
        return above_base(
            few, {"churn": {"kind": "Secret", "percentage": "100%", "cycles": 2000, "delay": "1s", "rate": rate}}
        )

    # 40,000 requests, half of which leave a revision of 4 KiB behind; at 10 a second, and with the rests, they take 100 minutes.
    assert churn("10/s") < churn("max") / 2
    assert churn("10/s") > 0


def test_own_kinds_count_by_what_their_template_renders_to(tmp_path: Path) -> None:
    def of(line: str) -> int:
        template = f"apiVersion: v1\nkind: ConfigMap\ndata: {{x: '{line}'}}\n"
        made = scenario(
            subject=NO_FLEET,
            load=[{"create": {"kind": "ConfigMap", "template": "x.yaml", "count": 100}}],
            templates={"x.yaml": template},
        )
        return storage.need(made).bytes - storage.BASE_BYTES

    assert of("y" * 40_000) == pytest.approx(of("y") + 1.1 * 100 * 40_000, rel=0.1)


def test_thousands_of_steps_are_no_long_sum() -> None:
    cycle = [SECRETS, {"settle": {"quiet_for": "1s"}}, {"delete": {"kind": "Secret"}}, {"settle": {"quiet_for": "1s"}}]
    many = scenario(subject=NO_FLEET, load=cycle * 400)
    need = storage.need(many)
    # Each cycle takes 2.8 s and more, so that some 214 of them lie within ten minutes.
    kept = (need.bytes - storage.BASE_BYTES) / storage.SLACK
    assert 150 * 1000 * EACH < kept < 250 * 1000 * (EACH + storage.on_disk(150))
