"""An API server that refuses what is too much: 429 under a real limit, and a step that fails because of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.harness_run import run

pytestmark = pytest.mark.cluster

SCENARIO = {
    "name": "limited",
    "summary": "Two writes at a time, and no more.",
    "apiserver": {"inflight": {"mutating": 2}},
    "subject": {"command": ["sleep", "600"]},
    "load": [
        # At no rate: what the server refuses is late, and the run then says nothing about the subject.
        {"create": {"template": "note.yaml", "count": 36, "rate": "max", "concurrency": 6}},
        # Even an API server that is quick must refuse some of these: 60 KB each, 3,000 in a second.
        {
            "create": {
                "kind": "Secret", "count": 3100, "size": "60KB", "timeout": "30s",
                "rate": {"step_until_failure": ["100/s", "3000/s"], "by": "2900/s", "each": "1s"},
            }
        },
        {"settle": {"quiet_for": "500ms", "timeout": "20s"}},
    ],
    "collect": ["memory", "latency"],
    "expect": ["completeness.ConfigMap == 1"],
}  # fmt: skip
NOTE = "apiVersion: v1\nkind: ConfigMap\ndata:\n  text: {{ rand_bytes(50000) | b64 }}\n"


def test_what_the_server_refuses_is_sent_again_when_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "note.yaml").write_text(NOTE)
    code, shown, record = run(tmp_path, SCENARIO)
    phases = {phase.name: phase for phase in record.run.phases}
    burst, seeking = phases["create-ConfigMap"], phases["create-Secret"]
    # All of it, or the run says nothing about the subject.
    assert (code, shown["verdict"]) == ((0, "passed") if burst.done == 36 else (3, "invalid")), shown["reasons"]
    assert shown["cluster"]["max_inflight"] == [2, 400]
    refused = record.sql("SELECT phase, count(*) FROM requests WHERE status = 429 GROUP BY phase")
    assert dict(refused)["create-ConfigMap"] > 0
    waits = record.sql(
        "SELECT min(again.sent_ns - refused.done_ns) FROM requests refused JOIN requests again "
        "ON again.name = refused.name AND again.attempt = refused.attempt + 1 WHERE refused.status = 429"
    )
    assert waits[0][0] >= 1_000_000_000  # the server says Retry-After: 1
    results = {name: result["value"] for name, result in shown["results"].items()}
    attempts = record.sql("SELECT count(*) FILTER (attempt > 1) FROM requests")[0][0]
    assert results["load.retries"] == attempts > 0
    assert results["apiserver.rejected"] >= dict(refused)["create-ConfigMap"]
    # The limit that step_until_failure found is the server's: workers wait for their turn, and the rate is not kept.
    assert seeking.failed_at_per_s is not None
    assert results["load.sustained_per_s"] == seeking.sustained_per_s
    assert not any("load generator used" in reason for reason in shown["reasons"])
