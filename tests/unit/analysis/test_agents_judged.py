"""Fake agents that fell short make a run invalid; those that did what was asked do not. Records are synthetic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.analysis.verdict import judge
from harness.core import etcd
from harness.record.models import CollectorFacts, Verdict
from tests.records import RecordBuilder

RESOLVED: dict[str, Any] = {
    "name": "case",
    "summary": "A case.",
    "subject": {"controller": "fleet", "options": {"agent": "none"}},
    "agents": {"delay": "1s", "offline": "10%"},
    "load": [{"create": {"kind": "Cluster.management.cattle.io", "count": 100}}],
    "expect": ["load.failures == 0"],
}
TOLD = {
    "seen": 200,
    "answered": 180,
    "offline": 20,
    "failed": 0,
    "late": 0,
    "waiting": 0,
    "late_p99_s": 0.02,
    "error": None,
}


def verdict(directory: Path, *events: tuple[str, dict[str, Any]], cores: float = 0.3) -> Verdict:
    """Load from 3 to 13 s, quiet until 20 s; the agents' process uses so many cores."""
    made = RecordBuilder(directory / "run")
    made.phase("start", "start", 0, 1)
    made.phase("idle", "idle", 1, 3)
    kind = "Cluster.management.cattle.io"
    made.phase(
        "create",
        "create",
        3,
        13,
        kind=kind,
        requested=100,
        done=100,
        failed=0,
        requested_per_s=None,
        achieved_per_s=10.0,
    )
    made.phase("settle", "settle", 13, 20, settled=True)
    made.phase("end", "end", 20, 21)
    made.samples("agents", "agents.cpu", [(t, cores * t) for t in range(2, 21)])
    made.samples("audit", "api.requests", [(2, 3)], {"kind": kind, "verb": "list", "subresource": ""})
    for type_, fields in events:
        made.event(type_, 20, **fields)
    collectors = [
        CollectorFacts(name=name, state="on") for name in ("memory", "latency", "audit", "load", "host", "apiserver")
    ]
    scenario = {"name": "case", "path": "case.yaml", "sha256": "0" * 64, "resolved": RESOLVED}
    return judge(made.write(collectors=collectors, scenario=scenario))


def test_agents_that_did_what_was_asked(tmp_path: Path) -> None:
    found = verdict(tmp_path, ("agents", TOLD))
    assert (found.verdict, found.reasons) == ("passed", [])
    assert found.results["agents.answers"].value == 180
    assert found.results["agents.late.p99"].value == 0.02


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"failed": 3, "error": "403 Forbidden: no"},
            "the fake agents could not send 3 of 200 answers: 403 Forbidden: no",
        ),
        ({"waiting": 7}, "7 of 200 deployments were not answered when the run ended: agents.delay is longer"),
        ({"late": 10, "late_p99_s": 2.5}, "sent 6% of their answers more than 1 s late (p99 2.5 s), more than 5%"),
    ],
)
def test_agents_that_fell_short(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    found = verdict(tmp_path, ("agents", TOLD | changes))
    assert (found.verdict, len(found.reasons)) == ("invalid", 1)
    assert says in found.reasons[0]


def test_a_few_late_answers_are_no_reason(tmp_path: Path) -> None:
    assert verdict(tmp_path, ("agents", TOLD | {"late": 9})).verdict == "passed"


@pytest.mark.parametrize(("cores", "word"), [(0.89, "passed"), (0.91, "invalid")])
def test_agents_at_the_limit_of_their_thread(tmp_path: Path, cores: float, word: str) -> None:
    found = verdict(tmp_path, ("agents", TOLD), cores=cores)
    assert found.verdict == word
    assert all("the fake agents used 91% of a CPU, more than 90%" in reason for reason in found.reasons)


def test_agents_that_were_lost(tmp_path: Path) -> None:
    found = verdict(tmp_path, ("agents_lost", {"message": "the fake agents ended before the run: killed"}))
    assert (found.verdict, found.reasons) == ("invalid", ["the fake agents ended before the run: killed"])
    assert found.results["agents.answers"].reason == "the agents did not come to tell"


def test_a_full_etcd_is_one_line_whatever_else_is_missing(tmp_path: Path) -> None:
    found = verdict(
        tmp_path,
        ("agents", TOLD | {"failed": 9}),
        (etcd.EVENT, {"message": etcd.SENTENCE}),
        (etcd.EVENT, {"message": etcd.SENTENCE}),
    )
    assert (found.verdict, found.reasons, found.exit_code) == ("invalid", [etcd.SENTENCE], 3)
