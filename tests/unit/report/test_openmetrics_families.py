"""What names and labels the exporter and the export share, and the history and claims as OpenMetrics text."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from harness.analysis.history import document
from harness.core import series
from harness.core.stacks import Frame, Held, Stack, StackProfile, dump
from harness.record.history import History
from harness.record.models import ScenarioFacts
from harness.report import families, openmetrics, openmetrics_history, openmetrics_sites
from tests import histories, records


def _samples(text: str) -> dict[str, list[Sample]]:
    assert text.endswith("# EOF\n")
    found = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(sample)
    return found


def _scenario(**resolved: object) -> ScenarioFacts:
    return ScenarioFacts(name="s", path="s.yaml", sha256="0" * 64, resolved=dict(resolved))


def test_own_families_have_names_of_their_own_with_units_as_prometheus_wants_them() -> None:
    names = [family.name for family in families.OWN]
    assert len({*names, *(entry.family for entry in series.CATALOGUE)}) == len(names) + len(series.CATALOGUE)
    for family in families.OWN:
        assert family.name.startswith("harness_")
        assert not family.name.endswith("_total")
        assert not {"ms", "milliseconds", "percent", "mb", "kb"} & set(family.name.split("_"))
        assert family.meaning


def test_parameters_are_numbers_in_base_units_and_objectives_upper_bounds(tmp_path: Path) -> None:
    run = records.RecordBuilder(tmp_path / "run").write(scenario=_scenario(
        params={"count": 8000, "limit": "256Mi", "quiet": "3s", "rate": "200/s", "share": "50%", "mode": "always", "on": True},
        expect=["latency.flip.p99 < 60s", "latency.flip.p50 <= 500ms", "latency.flip.max < 90s", "latency.deployed.p95 >= 1s",
                "oom.kills == 0", "of another version"],
    )).run  # fmt: skip
    assert families.parameters(run) == {"count": 8000, "limit": 256 * 2**20, "quiet": 3, "rate": 200}
    assert list(families.objectives(run)) == [("flip", "0.99", 60), ("flip", "0.5", 0.5)]


def test_rates_completeness_and_what_was_planned_are_exported(tmp_path: Path) -> None:
    record, verdict = records.passing(tmp_path / "run")
    found = _samples(openmetrics.render(record, verdict))
    rates = {sample.labels["phase"]: sample.value for sample in found["harness_load_requested_per_second"]}
    assert rates == {"create-Secret": 200, "flip": 5}
    assert {sample.labels["phase"] for sample in found["harness_load_achieved_per_second"]} == {
        "create-Secret",
        "create-GitRepo",
        "flip",
    }
    last = {sample.labels["kind"]: sample.value for sample in found["harness_completeness_ratio"]}
    assert last["Secret"] == 1
    halfway = [sample.value for sample in found["harness_completeness_ratio"] if sample.labels["kind"] == "Secret"]
    assert 0 in halfway
    assert any(0 < value < 1 for value in halfway)
    assert {sample.labels["job"] for found_ in found.values() for sample in found_} == {"harness"}
    assert {sample.labels["instance"] for found_ in found.values() for sample in found_} == {"export"}


def test_a_counter_that_seldom_changes_is_repeated_so_that_a_rate_finds_two_points(tmp_path: Path) -> None:
    made = records.RecordBuilder(tmp_path / "run")
    made.phase("create-Secret", "create", 0, 30)
    made.samples("audit", "writes.noop", [(1, 3), (21, 7)], {"kind": "Bundle"})
    made.samples("tasks", "tasks", [(1, 3), (21, 7)], {"coroutine": "work"})
    made.samples("metrics", "workqueue_adds_total", [(1, 3)])
    record, (_, verdict) = made.write(), records.passing(tmp_path / "other")
    found = _samples(openmetrics.render(record, verdict))
    began = records.STARTED.timestamp() * 1000
    points = [
        (round(float(sample.timestamp or 0) * 1000 - began) / 1e6, sample.value)
        for sample in found["harness_writes_noop_total"]
    ]
    assert [value for _, value in points] == [3, 3, 3, 3, 7, 7]
    assert len(found["harness_tasks"]) == 2, "a gauge is not made up"
    (adds,) = found["workqueue_adds_total"]
    assert adds.labels["job"] == "subject"


def test_the_history_has_values_changes_and_verdicts_of_runs_that_count(tmp_path: Path) -> None:
    store = History(tmp_path)
    store.add(histories.entry(number, 100.0 + number % 3 + 100 * (number >= 12)) for number in range(24))
    store.add([histories.entry(40, 5000.0, verdict="invalid"), histories.entry(41, None, verdict="failed")])
    found = _samples(openmetrics_history.render(document(store, name) for name in (histories.METRIC, None)))
    values = [sample.value for sample in found["harness_history_value"]]
    assert len(values) == 24
    assert max(values) < 300, "an invalid run measured nothing"
    (change,) = found["harness_history_change_ratio"]
    assert change.value == pytest.approx(0.98, abs=0.03)
    assert (change.labels["judged"], change.labels["metric"]) == ("worse", histories.METRIC)
    verdicts: dict[str, int] = defaultdict(int)
    for sample in found["harness_history_verdict"]:
        verdicts[sample.labels["verdict"]] += 1
        assert "run_id" not in sample.labels, "a label for each night would be a series for each night"
    assert verdicts == {"passed": 24, "invalid": 1, "failed": 1}
    moments = [float(sample.timestamp or 0) for sample in found["harness_history_value"]]
    assert moments == sorted(moments)


def test_points_of_one_moment_and_long_labels_do_no_harm(tmp_path: Path) -> None:
    store, moment = History(tmp_path), datetime(2026, 11, 1, tzinfo=UTC)
    store.add([histories.entry(n, float(n), started_at=moment, sets="x" * 5000, commit=None) for n in (1, 2)])
    (value,) = _samples(openmetrics_history.render([document(store, histories.METRIC)]))["harness_history_value"]
    assert value.value == 2
    assert len(value.labels["sets"]) == 200


def test_sites_of_a_memory_profile_are_summed_by_function_and_bounded(tmp_path: Path) -> None:
    made = records.RecordBuilder(tmp_path / "run")
    made.phase("idle", "idle", 0, 5)
    made.event("memray", 4, stacks="profiles/m.stacks.json.gz")
    record, verdict = made.write(), records.passing(tmp_path / "other")[1]
    assert openmetrics_sites.of(record) == {}, "an event names what is not there"
    decode = Frame("decode", "/x/lib/python3.11/json/decoder.py", 337)
    moment: dict[Stack, Held] = {
        (decode, Frame("a", "a.py", 1)): Held(30, 1),
        (decode._replace(line=9),): Held(12, 1),
        (): Held(7, 3),
    }
    many: dict[Stack, Held] = {(Frame(f"f{n}", "x.py", n),): Held(n, 1) for n in range(300)}
    path = record.path / "profiles" / "m.stacks.json.gz"
    dump(StackProfile("memray", "m.bin", {"peak": moment, "end": many}), path)
    found = _samples(openmetrics.render(record, verdict))["harness_memory_site_bytes"]
    peak = {sample.labels["function"]: sample.value for sample in found if sample.labels["moment"] == "peak"}
    assert peak == {"decode": 42, "(others)": 7}
    end = {sample.labels["function"] for sample in found if sample.labels["moment"] == "end"}
    assert end == {f"f{n}" for n in range(300 - openmetrics_sites.MOST_SITES, 300)}
    path.write_bytes(b"cut short")
    assert openmetrics_sites.of(record) == {}
