"""The dashboards by the rules of grafana/dashboard-linter, and by our own: every panel has unit, description and thresholds.

The linter itself is a Go program that is no part of the project; docs/dashboards.md says when it was last run.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dashboards import __main__ as generator
from harness.core import series
from harness.report import families, openmetrics_claims, openmetrics_history, openmetrics_sites
from tests import dashboard_queries as queries

_SELECTOR = re.compile(r"\b(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)?\{(?P<labels>[^}]*)\}")
_NOT_BY_RATE = {"harness_oom_kills_total"}
"""Counts of one run from 0, shown as they are: a rate of kills says nothing."""
_TEMPLATED = {"${datasource}"}
_OF_OTHERS = ("workqueue_", "controller_runtime_", "go_memstats_", "apiserver_request_", "etcd_")
_SUFFIXES = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}
_DRAWN = {"timeseries", "stat", "table", "xychart", "flamegraph"}


def _lint(document: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a dashboard."""
    variables = {each["name"]: each for each in document["templating"]["list"]}
    if document["editable"]:
        yield "editable"
    sources = [each for each in variables.values() if each["type"] == "datasource"]
    if [(each["name"], each["label"], each["query"]) for each in sources] != [
        ("datasource", "Data source", "prometheus")
    ]:
        yield "data source variable"
    for name in ("job", "instance"):
        each = variables.get(name, {})
        wanted = {"type": "query", "label": name.title(), "multi": True, "allValue": ".+", "includeAll": True}
        if {key: each.get(key) for key in wanted} != wanted or each["datasource"]["uid"] != "${datasource}":
            yield f"variable {name}"
    for name, each in variables.items():
        if each["type"] == "query" and (each["refresh"] != 2 or not each["query"].startswith("label_values(")):
            yield f"variable {name}"
    for panel in queries.panels(document):
        yield from (f"{panel['title']}: {what}" for what in _lint_panel(panel))
    ids = [panel["id"] for panel in document["panels"]]
    if len(set(ids)) < len(ids):
        yield "ids of panels"


def _lint_panel(panel: dict[str, Any]) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] not in _DRAWN:
        yield f"type {panel['type']}"
    if not panel["title"] or len(panel["description"]) < 20:
        yield "title or description"
    if not defaults.get("unit"):
        yield "unit"
    if not (defaults.get("thresholds") or {}).get("steps"):
        yield "thresholds"
    if not panel["targets"]:
        yield "no queries"
    if panel["type"] != "flamegraph" and panel["datasource"]["uid"] not in _TEMPLATED:
        yield "data source"
    refs = [target["refId"] for target in panel["targets"]]
    if len(set(refs)) < len(refs):
        yield "refIds"
    for target in panel["targets"]:
        if "expr" in target:
            yield from _lint_query(target["expr"])


def _lint_query(expr: str) -> Iterator[str]:
    selectors = list(_SELECTOR.finditer(expr))
    if not selectors:
        yield "no selector"
    for selector in selectors:
        for name in ("job", "instance"):
            if f'{name}=~"${name}"' not in selector["labels"]:
                yield f"no matcher of {name}"
        name = selector["name"] or ""
        before = expr[: selector.start()].rpartition("(")[0].rpartition("(")[2] + expr[: selector.start()][-12:]
        if (
            name.endswith("_total")
            and name not in _NOT_BY_RATE
            and not re.search(r"(rate|increase)\($", expr[: selector.start()])
        ):
            yield f"counter {name} without a rate: {before}"
    for function, interval in re.findall(r"(\w+)\([a-zA-Z_:]+\{[^}]*\}\[([^\]]+)\]", expr):
        if function in ("rate", "irate", "increase") and interval != "$__rate_interval":
            yield f"{function} over {interval}"


@pytest.mark.parametrize("name", queries.BOARDS)
def test_a_dashboard_keeps_the_rules(name: str) -> None:
    assert list(_lint(queries.board(name))) == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda d: d.update(editable=True), "editable"),
        (lambda d: d["templating"]["list"][0].update(label="Prometheus"), "data source variable"),
        (lambda d: next(v for v in d["templating"]["list"] if v["name"] == "job").update(allValue=".*"), "variable job"),
        (lambda d: next(v for v in d["templating"]["list"] if v["name"] == "run").update(refresh=1), "variable run"),
        (lambda d: _first(d).update(description=""), "title or description"),
        (lambda d: _first(d)["fieldConfig"]["defaults"].update(unit=""), "unit"),
        (lambda d: _first(d)["fieldConfig"]["defaults"].pop("thresholds"), "thresholds"),
        (lambda d: _first(d).update(targets=[]), "no queries"),
        (lambda d: _first(d)["datasource"].update(uid="fixed"), "data source"),
        (lambda d: _first(d)["targets"][0].update(expr='sum(up{job=~"$job"})'), "no matcher of instance"),
        (lambda d: _first(d)["targets"][0].update(
            expr='sum(harness_cpu_seconds_total{job=~"$job",instance=~"$instance"})'), "without a rate"),
        (lambda d: _first(d)["targets"][0].update(
            expr='rate(harness_cpu_seconds_total{job=~"$job",instance=~"$instance"}[5m])'), "rate over 5m"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_told(spoil: Callable[[dict[str, Any]], object], told: str) -> None:
    document = copy.deepcopy(queries.board("run"))
    spoil(document)
    assert any(told in each for each in _lint(document))


def _first(document: dict[str, Any]) -> dict[str, Any]:
    return next(queries.panels(document))


@pytest.mark.parametrize("name", queries.BOARDS)
def test_variables_that_queries_use_are_there_and_those_of_the_issue_too(name: str) -> None:
    document = queries.board(name)
    variables = {each["name"] for each in document["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z_]+)", json.dumps(document))) - {"__rate_interval", "__range", "__all"}
    assert used <= variables
    sides = ("_a", "_b") if name == "compare" else ("",)
    assert {f"{each}{side}" for each in ("scenario", "run", "arm") for side in sides} | {"datasource"} <= variables


def test_every_series_that_is_asked_for_is_one_that_somebody_makes() -> None:
    known = {f"{entry.family}_total" if entry.type == "counter" else entry.family for entry in series.CATALOGUE}
    for family in (*families.OWN, openmetrics_history.VALUE, openmetrics_history.CHANGE, openmetrics_history.VERDICT,
                   openmetrics_claims.CHANGE, openmetrics_claims.CURVE, openmetrics_sites.SITES):  # fmt: skip
        known |= {family.name + suffix for suffix in _SUFFIXES.get(family.type, ("",))}
    asked = {
        match["name"] for board in queries.BOARDS for query in queries.queries(board)
        for match in _SELECTOR.finditer(query.expr) if match["name"] not in (None, "last_over_time")
    }  # fmt: skip
    assert {name for name in asked - known if not name.startswith(_OF_OTHERS)} == set()
    assert len(asked & known) > 40


def test_what_the_issue_names_is_on_the_dashboard_run() -> None:
    asked = " ".join(query.expr for query in queries.queries("run"))
    for name in ("harness_phase{", "harness_load_requested_per_second{", "harness_load_achieved_per_second{",
                 "harness_request_duration_seconds_bucket{", "harness_propagation_seconds_bucket{", "harness_memory_limit_bytes{",
                 "harness_oom_kills_total{", "harness_tasks{", "harness_completeness_ratio{",
                 "harness_overhead_cpu_seconds_total{"):  # fmt: skip
        assert name in asked


def test_files_and_source_agree_and_a_difference_is_found(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, "-m", "dashboards", "--check"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    monkeypatch.setattr(generator, "DIRECTORY", tmp_path)
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
    changed = tmp_path / "run.json"
    changed.write_text(changed.read_text().replace('"editable": false', '"editable": true'))
    assert generator.main(["--check"]) == 1
    assert '"editable": true' in changed.read_text(), "a check changes nothing"


def test_data_sources_have_the_uids_that_dashboards_and_alerts_name() -> None:
    sources = generator.provisioning.datasources()["datasources"]
    uids = {each["type"]: each["uid"] for each in sources}
    alerts = generator.rules.grafana()["groups"][0]["rules"]
    assert {each["data"][0]["datasourceUid"] for each in alerts} == {uids["prometheus"]}
    assert len({each["uid"] for each in alerts}) == len(alerts) > 5
    profiles = [target["datasource"]["uid"] for name in queries.BOARDS for _, target in queries.profile_queries(name)]
    assert set(profiles) == {uids["grafana-pyroscope-datasource"]}
    assert len(profiles) == 6
    (variable,) = (each for each in queries.board("run")["templating"]["list"] if each["type"] == "datasource")
    assert variable["current"]["value"] == uids["prometheus"]
    assert all(each["url"].startswith("http://127.0.0.1:") for each in sources)
