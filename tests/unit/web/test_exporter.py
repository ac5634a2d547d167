"""The live exporter, asked over real HTTP while a synthetic run is told to it; cluster and subject are plain namespaces."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from harness.core import series
from harness.core.clock import RunClock
from harness.core.errors import EnvironmentFault, ExitCode, UsageError
from harness.core.sinks import PropagationRow, RequestRow
from harness.record.models import ExpectedObjects, Run, Verdict
from harness.record.reader import RunRecord
from harness.report import families, openmetrics
from harness.web import feed
from harness.web.exporter import Exporter
from tests import records


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    made = Exporter(0)
    yield made
    made.close(linger=False)


def _get(exporter: Exporter, path: str = "/metrics", accept: str = "") -> str:
    url = exporter.url.removesuffix("/metrics") + path
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
        return answer.read().decode()


def _refused(exporter: Exporter, path: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as refused:
        _get(exporter, path)
    with refused.value as answer:
        return answer.code, answer.read().decode()


def _samples(text: str) -> dict[str, list[Sample]]:
    found = defaultdict(list)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name].append(sample)
    return found


def _tell(exporter: Exporter, record: RunRecord) -> None:
    """Everything that a record holds, as it would have been told: each sample while its phase lasted."""
    phases = list(record.run.phases)
    for t_ns, source, metric, labels, value in record.sql(
        "SELECT t_ns, source, metric, labels, value FROM samples ORDER BY t_ns"
    ):
        begun = [each for each in phases if each.started_ns <= t_ns]
        record.run.phases[:] = [
            each if each.ended_ns is not None and each.ended_ns <= t_ns else each.model_copy(update={"ended_ns": None})
            for each in begun
        ]
        exporter.sample(source, metric, value, json.loads(labels), t_ns)
    record.run.phases[:] = phases
    exporter.requests([RequestRow(*row) for row in record.sql("SELECT * FROM requests")])
    exporter.propagation([PropagationRow(*row) for row in record.sql("SELECT * FROM propagation")])


def _passing(directory: Path) -> tuple[RunRecord, Verdict]:
    record, verdict = records.passing(directory)
    run = record.run
    run.scenario.resolved = {
        "expect": ["latency.flip.p99 < 5s", "oom.kills == 0"],
        "params": {"secrets": 2000, "limit": "256Mi"},
    }
    return record, verdict


def test_it_says_the_same_as_the_export_of_the_same_run(exporter: Exporter, tmp_path: Path) -> None:
    record, verdict = _passing(tmp_path / "run")
    exporter.begin(record.run, RunClock())
    _tell(exporter, record)
    exporter.end(verdict)
    live, exported = _samples(_get(exporter)), _samples(openmetrics.render(record, verdict))
    last: dict[tuple[str, str], float] = {}
    for name, found in exported.items():
        for sample in found:
            labels = {key: value for key, value in sample.labels.items() if key not in ("job", "instance")}
            if name not in ("harness_phase", "harness_load_requested_per_second", "harness_load_achieved_per_second"):
                last[name, json.dumps(labels, sort_keys=True)] = sample.value
    now = {
        (name, json.dumps(sample.labels, sort_keys=True)): sample.value
        for name, found in live.items()
        for sample in found
    }
    assert {key: now.get(key) for key in last} == pytest.approx(last)
    only_live = {name for name, _ in now} - {name for name, _ in last}
    assert only_live <= {"harness_phase", "harness_load_requested_per_second", "harness_load_achieved_per_second",
                         "harness_exporter_series_dropped"}  # fmt: skip
    assert (
        now[
            "harness_propagation_objective_seconds",
            json.dumps(families.common(record.run) | {"probe": "flip", "quantile": "0.99"}, sort_keys=True),
        ]
        == 5
    )
    assert {json.loads(labels)["parameter"]: value for (name, labels), value in now.items() if name == "harness_parameter"} == {
        "secrets": 2000, "limit": 256 * records.MIB,
    }  # fmt: skip


def test_names_help_and_labels_follow_the_conventions(exporter: Exporter, tmp_path: Path) -> None:
    record, _ = _passing(tmp_path / "run")
    exporter.begin(record.run, RunClock())
    _tell(exporter, record)
    exporter.waiting(3)
    known = {entry.family for entry in series.CATALOGUE} | {family.name for family in families.OWN}
    # what is strict about OpenMetrics: types, _total of counters, no series twice
    found = list(openmetrics_families(_get(exporter, accept="application/openmetrics-text; version=1.0.0")))
    assert len({family.name for family in found}) == len(found) > 30
    for family in found:
        assert family.name in known
        assert family.documentation
        assert family.type in ("gauge", "counter", "histogram")
        for sample in family.samples:
            assert {"run_id", "scenario", "arm"} <= set(sample.labels)
            assert sample.name.endswith("_total") == (family.type == "counter")
    named = {family.name: family for family in found}
    assert named["harness_propagation_pending"].samples[0].value == 3
    assert named["harness_run"].samples[0].labels["verdict"] == "running"
    assert "harness_result" not in named


def test_phases_and_rates_are_those_of_now(exporter: Exporter, tmp_path: Path) -> None:
    clock = RunClock(origin_ns=time.monotonic_ns() - int(20e9))
    made = records.RecordBuilder(tmp_path / "run")
    made.phase("idle", "idle", 0, 10)
    made.phase("create-Secret", "create", 10, None, requested=4000, requested_per_s=200.0)
    exporter.begin(made.write().run, clock)
    rows = [RequestRow("create-Secret", 0, 1, 0, 0, 5_000_000, "create", "Secret", "s", 201, None, 1)] * 1000
    exporter.requests([*rows, rows[0]._replace(error="too many", status=429)])
    found = _samples(_get(exporter))
    assert {sample.labels["phase"]: sample.value for sample in found["harness_phase"]} == {
        "idle": 0,
        "create-Secret": 1,
    }
    assert [sample.value for sample in found["harness_load_requested_per_second"]] == [200]
    (achieved,) = found["harness_load_achieved_per_second"]
    assert 10 < achieved.value <= 100, "1,000 in the 10 s and more since the phase began"
    assert [sample.value for sample in found["harness_request_failures_total"]] == [1]
    assert [sample.value for sample in found["harness_request_duration_seconds_count"]] == [1000]


def test_whatever_labels_a_subject_makes_up_the_number_of_series_is_bounded(exporter: Exporter, tmp_path: Path) -> None:
    record, _ = _passing(tmp_path / "run")
    exporter.begin(record.run, RunClock())
    for number in range(5 * feed.MOST_SERIES):
        exporter.sample("tasks", "tasks", 1, {"coroutine": f"job-{number}"})
        exporter.sample("metrics", f"made_up_{number}", 1)
        exporter.requests([RequestRow(f"create-{number}", 0, 1, 0, 0, 1, "create", "Secret", "s", 201, None, 1)])
        exporter.requests([RequestRow(f"create-{number}", 0, 1, 0, 0, 1, "create", "Secret", "s", 0, "gone", 1)])
        exporter.propagation([PropagationRow(f"probe-{number}", "c", 0, 0, 0, None, "", "n")])
    found = _samples(_get(exporter))
    assert len(found["harness_tasks"]) == feed.MOST_SERIES
    assert found["harness_exporter_series_dropped"][0].value == 4 * feed.MOST_SERIES
    assert not any(name.startswith("made_up") for name in found)
    counts = found["harness_request_duration_seconds_count"]
    assert len(counts) == feed.MOST_HISTOGRAMS + 1
    assert sum(sample.value for sample in counts) == 5 * feed.MOST_SERIES, "what is left out counts together"
    assert sum(sample.value for sample in found["harness_request_failures_total"]) == 5 * feed.MOST_SERIES
    assert sum(sample.value for sample in found["harness_propagation_seconds_count"]) == 5 * feed.MOST_SERIES
    assert sum(len(samples) for samples in found.values()) < 3000


def test_results_of_runs_that_are_over_stay_and_each_family_comes_once(exporter: Exporter, tmp_path: Path) -> None:
    first, verdict = _passing(tmp_path / "first")
    second, _ = records.oom_killed(tmp_path / "second")
    exporter.begin(first.run, RunClock())
    _tell(exporter, first)
    exporter.end(verdict)
    exporter.begin(second.run, RunClock())
    text = _get(exporter)
    assert text.count("# TYPE harness_run ") == 1
    found = _samples(text)
    assert [sample.labels["verdict"] for sample in found["harness_run"]] == ["passed", "running"]
    assert {sample.labels["run_id"] for sample in found["harness_result"]} == {first.run.run_id}
    assert {sample.labels["run_id"] for sample in found["harness_phase"]} == {second.run.run_id}


def test_it_can_be_asked_while_it_is_told(exporter: Exporter, tmp_path: Path) -> None:
    record, _ = _passing(tmp_path / "run")
    exporter.begin(record.run, RunClock())
    stop = threading.Event()

    def tell() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            exporter.sample("tasks", "tasks", number, {"coroutine": f"job-{number % 200}"})
            exporter.requests(
                [RequestRow(f"phase-{number % 60}", 0, 1, 0, 0, 1, "create", "Secret", "s", 201, None, 1)]
            )

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        for _ in range(5):
            assert "harness_run" in _samples(_get(exporter))
    finally:
        stop.set()
        teller.join(10)


def test_a_busy_port_and_no_port_are_one_clear_line(exporter: Exporter) -> None:
    with pytest.raises(
        EnvironmentFault, match=rf"^127\.0\.0\.1:{exporter.port}: the port is in use .*; name another"
    ) as busy:
        Exporter(exporter.port)
    assert busy.value.exit_code == ExitCode.ENVIRONMENT
    for port in (-1, 65536):
        with pytest.raises(UsageError, match=f"--metrics-port {port} is not a port"):
            Exporter(port)


def test_beyond_loopback_there_are_its_own_metrics_and_nothing_else(tmp_path: Path) -> None:
    record, _ = _passing(tmp_path / "run")
    exporter = Exporter(0, "0.0.0.0")
    try:
        exporter.begin(record.run, RunClock())
        assert exporter.url == f"http://0.0.0.0:{exporter.port}/metrics"
        for host in ("harness-metrics.harness.svc", "10.1.2.3:9464"):  # a Service's name, a pod's address
            url = f"http://127.0.0.1:{exporter.port}/metrics"
            with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=10) as answer:
                assert "harness_run" in _samples(answer.read().decode())
        for path in ("/targets", "/apiserver/metrics", "/subject/metrics", "/"):
            assert _refused(exporter, path) == (404, "here is /metrics\n")
    finally:
        exporter.close(linger=False)
    for word in ("everywhere", "::", "1.2.3", ""):
        with pytest.raises(UsageError, match="is no IPv4 address"):
            Exporter(0, word)


def test_others_are_told_where_subject_apiserver_and_etcd_are(exporter: Exporter, tmp_path: Path) -> None:
    record, verdict = _passing(tmp_path / "run")
    assert json.loads(_get(exporter, "/targets")) == []
    exporter.begin(record.run, RunClock())
    replicas = [SimpleNamespace(metrics_url=f"http://127.0.0.1:{port}/metrics") for port in (1234, 1235)]
    cluster = SimpleNamespace(server="https://127.0.0.1:1")
    context = SimpleNamespace(
        subject=SimpleNamespace(replicas=replicas), cluster=cluster, watcher_kubeconfig=tmp_path / "none"
    )
    exporter.attached(context)  # type: ignore[arg-type]
    found = json.loads(_get(exporter, "/targets"))
    assert [(each["targets"], each["labels"]["job"], each["labels"].get("replica")) for each in found] == [
        (["127.0.0.1:1234"], "subject", "0"), (["127.0.0.1:1235"], "subject", "1"),
        ([f"127.0.0.1:{exporter.port}"], "apiserver", None),
    ]  # fmt: skip
    for each in found:
        assert {**each["labels"], **families.common(record.run)} == each["labels"]
        assert all(isinstance(value, str) for value in each["labels"].values())
    status, text = _refused(exporter, "/apiserver/metrics")
    assert status == http.client.BAD_GATEWAY
    assert "kubeconfig cannot be read" in text
    exporter.end(verdict)
    assert json.loads(_get(exporter, "/targets")) == []
    for path in ("/etcd/metrics", "/apiserver/metrics", "/secrets", "/apiserver/../metrics", "/"):
        assert _refused(exporter, path)[0] == http.client.NOT_FOUND


def test_it_listens_on_loopback_only_and_answers_to_no_other_name(exporter: Exporter) -> None:
    assert exporter.url == f"http://127.0.0.1:{exporter.port}/metrics"
    with socket.socket() as outside:
        outside.settimeout(5)
        assert outside.connect_ex(("127.0.0.2", exporter.port)) != 0
    connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=10)
    connection.request("GET", "/targets", headers={"Host": f"evil.example:{exporter.port}"})
    assert connection.getresponse().status == http.client.FORBIDDEN
    connection.close()


def test_the_end_waits_for_one_more_question_from_whoever_has_been_asking(tmp_path: Path) -> None:
    record, verdict = _passing(tmp_path / "run")
    exporter = Exporter(0)
    exporter.begin(record.run, RunClock())
    answers = [_get(exporter), _get(exporter)]
    exporter.end(verdict)
    closing = threading.Thread(target=exporter.close)
    closing.start()
    answers.append(_get(exporter))
    closing.join(30)
    assert not closing.is_alive()
    assert ["harness_result" in answer for answer in answers] == [False, False, True]
    with pytest.raises(OSError, match="refused"):
        _get(exporter)


def test_a_run_is_told_as_the_record_is(tmp_path: Path) -> None:
    from harness.record.writer import RecordWriter

    told: list[tuple[str, object]] = []
    live = SimpleNamespace(
        sample=lambda *given: told.append(("sample", given[:3])), requests=lambda rows: told.append(("requests", rows)),
        propagation=lambda rows: told.append(("propagation", rows)),
    )  # fmt: skip
    writer = RecordWriter(tmp_path / "run", RunClock(), live)
    writer.sample("memory", "memory.rss", 5.0)
    writer.requests([])
    writer.propagation([])
    asyncio.run(writer.close())
    assert told == [("sample", ("memory", "memory.rss", 5.0)), ("requests", []), ("propagation", [])]


def test_expected_objects_of_one_kind_count_together(exporter: Exporter, tmp_path: Path) -> None:
    record, _ = _passing(tmp_path / "run")
    run: Run = record.run
    run.expected = [ExpectedObjects(kind="Secret", count=30), ExpectedObjects(kind="Secret", count=10)]
    exporter.begin(run, RunClock())
    exporter.sample("latency", "objects.matched", 20, {"kind": "Secret"})
    exporter.sample("latency", "objects.matched", 20, {"kind": "Unexpected"})
    found = _samples(_get(exporter))
    assert [(sample.labels["kind"], sample.value) for sample in found["harness_completeness_ratio"]] == [
        ("Secret", 0.5)
    ]
    assert [sample.value for sample in found["harness_objects_expected"]] == [40]
