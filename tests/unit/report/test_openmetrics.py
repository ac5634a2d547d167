"""A run as OpenMetrics text, from synthetic records.

The strict parser of prometheus_client drops the second point of a histogram as a duplicate, so its lenient one reads here; that
`promtool tsdb create-blocks-from openmetrics` takes the text was seen by hand (docs/record.md).
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from harness.core import series
from harness.record.models import ScenarioFacts
from harness.report.openmetrics import render
from tests import records


def _samples(text: str) -> dict[str, list[Sample]]:
    found = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(sample)
    return found


@pytest.fixture
def text(tmp_path: Path) -> str:
    return render(*records.passing(tmp_path / "run"))


def test_it_ends_as_it_must_and_no_series_goes_back_in_time(text: str) -> None:
    assert text.endswith("# EOF\n")
    last: dict[str, float] = {}
    seen = set()
    name = ""
    for line in text.splitlines()[:-1]:
        if line.startswith("#"):
            continue
        ident, _, rest = line.rpartition("} ")
        t = float(rest.split()[1])
        assert t > last.get(ident, 0), line  # one sample for each millisecond
        last[ident] = t
        if (family := ident.split("{")[0]) != name:
            assert family not in seen or family.startswith(("harness_request", "harness_propagation")), (
                "families in pieces"
            )
            seen.add(family)
            name = family


def test_samples_are_under_the_names_of_the_catalogue_with_the_runs_labels(text: str) -> None:
    found = _samples(text)
    rss = found["harness_memory_rss_bytes"]
    run = {"run_id": records.RUN_ID, "scenario": "smoke", "arm": "unprofiled"}
    assert rss[0].labels == run | {"job": "harness", "instance": "export"}
    assert records.STARTED.timestamp() <= 1000 * float(rss[0].timestamp or 0) < records.STARTED.timestamp() + 5
    assert "harness_overhead_cpu_seconds_total" in found
    assert {sample.labels["metric"] for sample in found["harness_result"]} >= {"memory.rss.peak", "latency.flip.p99"}
    assert [sample.value for sample in found["harness_phase"] if sample.labels["phase"] == "start"][-1] == 0


def test_histograms_grow_to_all_that_was_measured(tmp_path: Path) -> None:
    made = records.RecordBuilder(tmp_path / "run")
    made.phase("flip", "flip", 0, 20)
    for at, took in ((1, 0.004), (2, 0.2), (11, 0.2), (12, 400.0)):
        made.request("flip", at, at + took, kind="Secret")
    made.request("flip", 3, 4, kind="Secret", error="too many requests")
    made.propagate("flip", "a", 1, 1.3)
    made.propagate("flip", "b", 1, None)
    record = made.write()
    _, verdict = records.passing(tmp_path / "other")
    found = _samples(render(record, verdict))
    by_border: dict[str, list[float]] = defaultdict(list)
    for sample in found["harness_request_duration_seconds_bucket"]:
        by_border[sample.labels["le"]].append(sample.value)
    assert by_border["0.005"][-1] == 1
    assert by_border["0.25"][:3] == [1, 2, 2]
    assert by_border["300.0"][-1] == 3
    assert by_border["+Inf"][-1] == 4
    assert found["harness_request_duration_seconds_sum"][-1].value == pytest.approx(400.404)
    assert [sample.value for sample in found["harness_request_failures_total"]] == [1]
    seen = [s.value for s in found["harness_propagation_seconds_bucket"] if s.labels["le"] in ("300.0", "+Inf")]
    assert seen[:2] == [1, 1]
    assert seen[-2:] == [1, 2], "what was never seen counts in +Inf, at the end"


def test_labels_of_the_subject_do_not_hide_the_runs_and_are_escaped(tmp_path: Path) -> None:
    made = records.RecordBuilder(tmp_path / "run")
    made.phase("idle", "idle", 0, 5)
    made.samples("metrics", "workqueue_depth", [(1, 3)], {"run_id": "theirs", "name": 'a "quoted"\nname'})
    record = made.write(scenario=ScenarioFacts(name='x"y', path="x.yaml", sha256="0" * 64, resolved={}))
    (sample,) = _samples(render(record, records.passing(tmp_path / "other")[1]))["workqueue_depth"]
    assert sample.labels["run_id"] == records.RUN_ID
    assert sample.labels["name"] == 'a "quoted"\nname'
    assert sample.labels["scenario"] == 'x"y'


def test_names_follow_prometheus_conventions_and_are_unique() -> None:
    families = [item.family for item in series.CATALOGUE]
    assert len(set(families)) == len(families)
    for item in series.CATALOGUE:
        assert item.family.isascii()
        assert item.family.replace("_", "").isalnum()
        assert not item.family.endswith("_total")
        assert item.unit == "" or item.family.endswith(item.unit)
        assert item.meaning
    assert series.BY_NAME["cpu.seconds"].family == "harness_cpu_seconds"
    assert series.BY_NAME["memory.rss"].family == "harness_memory_rss_bytes"
