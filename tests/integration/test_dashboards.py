"""Proof without Grafana: every query of every panel and rule against a real Prometheus (package `prometheus`) with a real run.

A run is scraped while it goes on, with its subject, API server and etcd, by the very configuration that `harness dashboards up`
uses; then its export is backfilled by promtool into another Prometheus. Both are asked the same.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards import rules
from harness.core.stacks import Frame, Held, Stack, StackProfile, dump
from harness.process import ports
from harness.record.claims import Claim, Claims, Curve, CurveLine, CurvePoint
from harness.record.history import History
from harness.record.reader import RunRecord
from harness.report import families, openmetrics
from tests import dashboard_queries as queries
from tests import histories, records
from tests.dashboard_queries import Prometheus

pytestmark = pytest.mark.cluster

_HARNESS = [sys.executable, "-m", "harness.cli.main"]
_SCENARIO: dict[str, Any] = {
    "name": "dashboards",
    "summary": "A short run of which every series of the dashboards can be told, killed at its end or not.",
    "seed": 3,
    "params": {"secrets": 200, "scraped": "none"},
    "subject": {"controller": "fleet", "options": {"workers": 5}, "memory_limit": "512Mi"},
    "load": [
        {"create": {"kind": "Cluster.management.cattle.io", "count": 20, "rate": "20/s"}},
        {"create": {"kind": "GitRepo", "count": 5, "bundles": 2, "matching": 2, "rate": "20/s"}},
        {"create": {"kind": "Secret", "count": "{secrets}", "size": ["2KB", "5KB"], "rate": "40/s"}},
        {"settle": {"quiet_for": "2s", "timeout": "60s"}},
        {"hook": {"command": [sys.executable, "{scraped}"], "timeout": "60s"}},
        {"flip": {"kind": "Cluster.management.cattle.io", "count": 15, "rate": "2/s", "labels": {"env": "prod"}},
         "probes": [{"name": "flip", "until": "BundleDeployment"}]},
    ],
    "expect": ["oom.kills == 0", "latency.flip.p99 < 60s"],
}  # fmt: skip

_SCRAPED_TWICE = """
import json, time, urllib.parse, urllib.request
for job in ("apiserver", "etcd"):
    query = urllib.parse.urlencode({{"query": f'sum_over_time(up{{{{job="{{job}}"}}}}[1h]) >= 2'}})
    while not json.load(urllib.request.urlopen(f"{url}/api/v1/query?{{query}}", timeout=30))["data"]["result"]:
        time.sleep(0.2)
"""
"""A rate needs two scrapes, and these come every ten seconds; the run goes on when they have been."""

_NOT_OF_THIS_RUN = {
    "run: CPU B",  # the subject has no CPU limit
    "run: annotation Kills",  # it is not killed
    "controller: Heap by its own word A",  # it is not of Go
    *(f"compare: Difference of memory profiles {ref}" for ref in "ABC"),  # no profiler: the test below has two that are known
    "run: Writes of the subject C", "controller: Conflicts A",  # no write of it need meet a conflict
}  # fmt: skip
"""Queries that may find nothing of this run, however it comes into Prometheus. Every other one must."""
_NOT_EXPORTED = {
    "run: Effects awaited A",
    "controller: Requests by code A", "controller: API server's time A",
    "controller: etcd: keys and size A", "controller: etcd: commits A",
}  # fmt: skip
"""Of what only a scrape can tell; the panels' descriptions say so."""


@dataclass(frozen=True)
class Proof:
    """A run, told to one Prometheus while it went on and to another from its export."""

    record: RunRecord
    scraped: Prometheus
    exported: Prometheus

    @property
    def values(self) -> dict[str, str]:
        run, found = (
            self.record.run,
            {"job": ".+", "instance": ".+", "row": ".+", "curve": "secrets", "metric": histories.METRIC},
        )
        for side in ("", "_a", "_b"):
            found |= {f"scenario{side}": run.scenario.name, f"run{side}": run.run_id, f"arm{side}": ".*"}
        return found

    @property
    def times(self) -> tuple[float, float]:
        """From the run's begin to the last scrape of it, which its end waits for: results are told after all phases."""
        query = 'up{job="harness"}[1h]'
        (seen,) = self.scraped.ask("/api/v1/query", query=query, time=time.time())["result"]
        return self.record.run.started_at.timestamp(), max(
            at + 1 for at, value in seen["values"] if value == "1"
        )  # a second after it: before the next, and beyond the last step of a range

    def empty(self, server: Prometheus, *boards: str) -> set[str]:
        """Names of the queries that find nothing."""
        asked = [query for board in boards for query in queries.queries(board)]
        return {query.name for query in asked if not server.series(query, self.values, *self.times)}


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    directory = tmp_path_factory.mktemp("dashboards")
    port = ports.claim_port()
    live = directory / "live"
    live.mkdir()
    config = yaml.safe_load(
        (queries.DIRECTORY / "prometheus" / "prometheus.yml").read_text().replace("127.0.0.1:9464", f"127.0.0.1:{port}")
    )
    shutil.copy(queries.DIRECTORY / "prometheus" / "rules.yaml", live)
    with queries.prometheus(live, config) as scraped:
        record = _run(directory, port, scraped.url)
        exported = directory / "exported"
        files = [
            _export(record, exported / "run.om"),
            _history(exported / "history.om"),
            _claims(exported / "claims.om"),
        ]
        queries.backfill(exported / "data", *files, *_profiles(exported))
        with queries.prometheus(exported) as backfilled:
            yield Proof(record, scraped, backfilled)


def _run(directory: Path, port: int, prometheus: str) -> RunRecord:
    scenario, scraped = directory / "dashboards.yaml", directory / "scraped.py"
    scraped.write_text(_SCRAPED_TWICE.format(url=prometheus))
    scenario.write_text(json.dumps(_SCENARIO))
    command = [*_HARNESS, "run", str(scenario), "--out", str(directory / "runs"), "--metrics-port", str(port), "--json"]
    command += ["--set", f"scraped={scraped}"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env={**os.environ, "HARNESS_ON_BUSY": "warn"}
    )
    assert f"metrics  http://127.0.0.1:{port}/metrics" in done.stderr, done.stderr
    shown = json.loads(done.stdout)
    assert shown["outcome"]["state"] == "completed", shown[
        "outcome"
    ]  # a machine too busy for the rates is no matter here
    return RunRecord(Path(shown["path"]))


def _export(record: RunRecord, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    command = [*_HARNESS, "export", str(record.path), "-o", str(target)]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == 0
    return target


def _history(target: Path) -> Path:
    """Synthetic nights: a level that doubles in the middle of them, and gates."""
    store = History(target.parent / "history")
    store.add(histories.entry(number, 100.0 + number % 3 + 100 * (number >= 12)) for number in range(24))
    store.add([histories.entry(30, 0.2, kind="gate", id="gate-1", verdict="regress", exit_code=1)])
    command = [*_HARNESS, "history", "export", str(target), "--history", str(store.directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return target


def _profiles(directory: Path) -> Iterator[Path]:
    """Two synthetic runs with the stacks of a memray capture each: `decode` has grown, `Informer` is gone, `Cache` is new."""
    for name, held in (("a", {"decode": 10, "Informer": 5, "same": 3}), ("b", {"decode": 50, "Cache": 7, "same": 3})):
        path = directory / f"profile-{name}"
        record, verdict = records.passing(path, run_id=f"20261122-093015-{name * 5}")
        moment: dict[Stack, Held] = {
            (Frame(function, "/app/x.py", 1), Frame("main", "", 0)): Held(size, 1) for function, size in held.items()
        }
        dump(StackProfile("memray", "x.bin", {"peak": moment}), path / "profiles" / "memray.stacks.json.gz")
        with (path / "events.jsonl").open("a") as events:
            events.write(
                json.dumps({"t_ns": 1, "phase": "end", "type": "memray", "stacks": "profiles/memray.stacks.json.gz"})
                + "\n"
            )
        target = directory / f"profile-{name}.om"
        target.write_text(openmetrics.render(record, verdict))
        yield target


def _claims(target: Path) -> Path:
    """A synthetic result of `harness claims` with one claim and one curve."""
    points = [CurvePoint(x=x, value=2.0 * x) for x in (1000, 2000, 4000)]
    lines = [
        CurveLine(name="cache", points=points),
        CurveLine(name="get", points=[CurvePoint(x=1000, value=None, reason="-")]),
    ]
    curve = Curve(
        id="secrets", row=5, title="Memory over Secrets", x="Secrets", metric="memory.rss.peak", unit="B", lines=lines
    )
    claim = Claim(
        id="kserve/memory.rss.peak", row=5, headline=True, claim="-", published="80 % less", published_change=-0.8, source="-",
        subject="kserve", scenario="kserve-secrets-8k", limit="128Mi", payload="-", chosen="-", off={}, on={},
        metric="memory.rss.peak", unit="B", scale="relative", change=-0.7, pairs=8, pairs_planned=8, verdict="reproduced",
        sentence="-",
    )  # fmt: skip
    moment = datetime(2026, 11, 20, tzinfo=UTC)
    found = Claims(profile="full", state="complete", fingerprint="0", command="-", started_at=moment, rows=[5], claims=[claim],
                   curves=[curve], exit_code=0)  # fmt: skip
    source = target.parent / "claims.json"
    source.write_text(found.model_dump_json(by_alias=True))
    command = [*_HARNESS, "export", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return target


def test_every_query_finds_what_it_should_in_a_run_that_was_exported(proof: Proof) -> None:
    assert proof.empty(proof.exported, "run", "controller", "compare") <= _NOT_OF_THIS_RUN | _NOT_EXPORTED


def test_every_query_finds_what_it_should_in_a_run_that_is_scraped(proof: Proof) -> None:
    assert proof.empty(proof.scraped, "run", "controller", "compare") <= _NOT_OF_THIS_RUN


def test_nights_and_published_cases_are_found(proof: Proof) -> None:
    values = proof.values | {"scenario": ".+", "run": ".+", "__range": "60d"}
    nights = (histories.BEGAN.timestamp(), histories.BEGAN.timestamp() + 31 * 86400)
    for query in (*queries.queries("nightly"), *queries.queries("published")):
        # a point of the history is one sample a night: it is found where a step of the range comes within five minutes of it
        times = proof.times if "harness_history" not in query.expr or query.instant else nights
        expr, step = queries.fill(query.expr, values), 300 if times is nights else 5
        asked = (
            {"query": expr, "time": nights[1]}
            if query.instant
            else {"query": expr, "start": times[0], "end": times[1], "step": step}
        )
        found = proof.exported.ask(f"/api/v1/query{'' if query.instant else '_range'}", **asked)["result"]
        assert found, query.name


def test_the_difference_of_two_profiles_is_that_of_their_functions(proof: Proof) -> None:
    (query,) = (each for each in queries.queries("compare") if each.where == "Difference of memory profiles C")
    values = (
        proof.values | {f"scenario_{side}": ".+" for side in "ab"} | {f"run_{side}": f".*-{side * 5}" for side in "ab"}
    )
    found = proof.exported.series(query, values, 0, proof.times[1])
    assert {each["metric"]["function"]: float(each["value"][1]) for each in found} == {
        "decode": 40, "Informer": -5, "Cache": 7, "same": 0,
    }  # fmt: skip


def test_numbers_are_those_of_the_run(proof: Proof) -> None:
    """What the panels show is what the verdict says, from both."""
    verdict = proof.record.verdict
    assert verdict is not None
    panels = {query.where: query for query in queries.queries("run")}
    for server in (proof.scraped, proof.exported):
        (kills,) = server.series(panels["OOM kills A"], proof.values, *proof.times)
        assert {value for _, value in kills["values"]} == {"0"}
        (complete,) = server.series(panels["Completeness A"], proof.values, *proof.times)
        assert complete["values"][-1][1] == "1"
        charged = next(s for s in server.series(panels["Memory against the limit A"], proof.values, *proof.times))
        peak = max(float(value) for _, value in charged["values"])
        assert 0.8 * (verdict.results["memory.cgroup.peak"].value or 0) <= peak <= 512 * 2**20
        (p99,) = server.series(panels["Propagation p99 A"], proof.values, *proof.times)
        exact = verdict.results["latency.flip.p99"].value or 0
        above = min(border for border in families.BUCKETS_S if border >= exact)
        assert float(p99["values"][-1][1]) <= above, "within the bucket of the exact value"
        count = f'sum(max_over_time(harness_request_duration_seconds_count{{run_id="{proof.record.run.run_id}"}}[1h]))'
        counted = server.ask("/api/v1/query", query=count, time=proof.times[1])["result"]
        assert float(counted[0]["value"][1]) == verdict.results["load.requests"].value
    result = proof.scraped.ask(
        "/api/v1/query",
        query=f'last_over_time(harness_result{{run_id="{proof.record.run.run_id}"}}[1h])',
        time=time.time(),
    )
    assert {each["metric"]["metric"] for each in result["result"]} == {
        n for n, r in verdict.results.items() if r.value is not None
    }


def test_prometheus_reads_the_rules_and_they_record_the_run(proof: Proof) -> None:
    groups = proof.scraped.ask("/api/v1/rules")["groups"]
    found = {rule["name"]: rule for group in groups for rule in group["rules"]}
    named = [each.name for each in rules.RECORDS] + [each.name for each in rules.ALERTS]
    assert set(named) == set(found)
    assert {name: rule["lastError"] for name, rule in found.items() if rule.get("lastError")} == {}
    for record in rules.RECORDS:
        kept = proof.scraped.ask(
            "/api/v1/query_range", query=record.name, start=proof.times[0], end=proof.times[1], step=5
        )
        assert {each["metric"]["run_id"] for each in kept["result"]} == {proof.record.run.run_id}, record.name
    firing = proof.scraped.ask(
        "/api/v1/query_range", query='ALERTS{alertstate="firing"}', start=proof.times[0], end=proof.times[1], step=5
    )
    assert firing["result"] == [], "a run that passed raises no alert"


def test_subject_apiserver_and_etcd_were_scraped_with_the_labels_of_the_run(proof: Proof) -> None:
    run = proof.record.run
    found = proof.scraped.ask(
        "/api/v1/query", query="max by (job, run_id, scenario) (max_over_time(up[1h]))", time=proof.times[1]
    )
    up = {(each["metric"]["job"], each["metric"].get("run_id")): each["value"][1] for each in found["result"]}
    assert up == {("harness", None): "1"} | {(job, run.run_id): "1" for job in ("subject", "apiserver", "etcd")}


def test_promtool_finds_that_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    directory = queries.DIRECTORY / "prometheus"
    promtool = queries.need("promtool")
    done = subprocess.run(
        [promtool, "test", "rules", str(directory / "rules_test.yaml")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = (directory / "rules_test.yaml").read_text()
    used = told + " ".join(each.expr for each in rules.ALERTS)
    assert {each.name for each in rules.ALERTS if each.name not in told} == set()
    assert {each.name for each in rules.RECORDS if each.name not in used} == set()
    # a threshold that is off by a little is noticed
    shutil.copy(directory / "rules_test.yaml", tmp_path)
    text = (directory / "rules.yaml").read_text()
    for before, after in (
        ("ratio > 0.8", "ratio > 0.9"), ("* 1.2 + 10", "* 4"), ("offset 1m", "offset 5m"), ("}) > 10", "}) > 500"),
        ("harness_oom_kills_total", "harness_oom_limit_hits_total"),
    ):  # fmt: skip
        assert before in text, before
        (tmp_path / "rules.yaml").write_text(text.replace(before, after))
        spoiled = subprocess.run(
            [promtool, "test", "rules", str(tmp_path / "rules_test.yaml")], capture_output=True, timeout=60
        )
        assert spoiled.returncode == 1, before
