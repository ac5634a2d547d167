"""Two replicas of the reference controller on a real control plane: whoever leads is ended, and the other goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.subject import limits
from tests.integration.harness_run import run

CAPABILITY = limits.probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not CAPABILITY.ok, reason=f"no memory limits here: {CAPABILITY.sentence}"),
]

SUBJECT = {
    "controller": "fleet",
    "replicas": 2,
    "memory_limit": "160Mi",
    "options": {
        "workers": 5, "leader-elect-lease-duration": "9s", "leader-elect-renew-deadline": "8s",
        "leader-elect-retry-period": "300ms",
    },
}  # fmt: skip
SECRETS = {"create": {"kind": "Secret", "count": 3, "size": 100}}
REPOS = {"create": {"kind": "GitRepo", "count": 4, "bundles": 2, "uses": "Secret"}}
SETTLE = {"settle": {"quiet_for": "500ms", "timeout": "1m"}}


def test_a_killed_leader_is_followed_by_the_standby_and_a_stopped_one_by_the_first(tmp_path: Path) -> None:
    scenario = {
        "name": "turns",
        "summary": "Each replica leads, is ended, and comes back.",
        "subject": SUBJECT,
        "load": [
            SECRETS,
            REPOS,
            SETTLE,
            {"failover": None},
            REPOS,
            SETTLE,
            {"failover": {"signal": "TERM"}},
            REPOS,
            SETTLE,
        ],
        "expect": ["restarts == 2", "oom.kills == 0", "completeness.Bundle == 1", "failover.first_reconcile < 1h"],
    }
    code, shown, record = run(tmp_path, scenario)
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    killed, stopped = record.events("failover")
    assert [(event["replica"], event["signal"]) for event in (killed, stopped)] == [(0, "KILL"), (1, "TERM")]
    assert killed["lease"] == stopped["lease"] == shown["subject"]["lease"] == f"{shown['namespace']}/fleet"
    assert len({killed["holder"], stopped["holder"]}) == 2
    for event in (killed, stopped):
        assert event["killed_ns"] < event["lease_ns"] < event["reconcile_ns"] < event["ready_ns"]
    # A leader that is told to end gives up its Lease; a killed one's must run out, a retry period after its last renewal.
    assert killed["lease_ns"] - killed["killed_ns"] > 2_000_000_000
    results = {name: result["value"] for name, result in shown["results"].items()}
    slowest = max(event["lease_ns"] - event["killed_ns"] for event in (killed, stopped))
    assert results["failover.lease"] == slowest / 1e9
    # Each replica is witnessed by itself, under a limit of its own, and both together.
    for metric in ("memory.rss", "memory.cgroup", "tasks"):
        seen = record.sql(
            "SELECT DISTINCT labels->>'replica' FROM samples WHERE metric = ? ORDER BY 1 NULLS LAST", [metric]
        )
        assert seen[:2] == [("0",), ("1",)], metric
    assert record.sql("SELECT DISTINCT value FROM samples WHERE metric = 'memory.limit'") == [(160 * 2**20,)]
    both = record.sql(
        "SELECT bool_and(whole.value = parts.most) FROM samples whole JOIN (SELECT t_ns, max(value) AS most FROM samples "
        "WHERE metric = 'memory.rss' AND labels <> '{}' GROUP BY t_ns) parts USING (t_ns) "
        "WHERE whole.metric = 'memory.rss' AND whole.labels = '{}'"
    )
    assert both == [(True,)]
    # What both have reconciled, over all their incarnations: 12 GitRepos and their 24 Bundles at the very least.
    assert results["reconciles.total"] >= 36
    assert (Path(shown["path"]) / "subject-replica-1.log").exists()


def test_a_lease_that_nobody_takes_makes_the_run_invalid(tmp_path: Path) -> None:
    subject = {"command": ["sleep", "600"], "replicas": 2, "lease": {"name": "mine"}, "ready_timeout": "2s"}
    scenario = {"name": "nobody", "summary": "No election.", "subject": subject, "load": [{"failover": None}]}
    code, shown, _ = run(tmp_path, scenario)
    assert (code, shown["verdict"]) == (3, "invalid")
    (said,) = shown["reasons"]
    assert said.startswith(
        f"subject.lease: nobody took the Lease {shown['namespace']}/mine within 2 s; is that the Lease"
    )
