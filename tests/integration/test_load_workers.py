"""Several load workers under a master, on a real control plane."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.process import leftovers
from harness.record.reader import RunRecord
from tests.integration.harness_run import HARNESS, LIMIT_S, run
from tests.ports import claim_pair

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2 * LIMIT_S)]

WORKERS = 2


def test_workers_share_a_run_and_their_rows_are_one_record(tmp_path: Path) -> None:
    code, shown, record = run(
        tmp_path, "smoke", "--profile", "quick", "--arm", "pass", "--workers", str(WORKERS), "--set", "flip_rate=max"
    )
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    assert record.run.load_workers == WORKERS
    by_worker = (
        "SELECT worker % 2, count(*), count(DISTINCT name) FROM requests WHERE phase = 'create-Secret' GROUP BY 1"
    )
    senders = record.sql(by_worker)
    assert sorted(senders) == [(0, 100, 100), (1, 100, 100)]
    at = "SELECT DISTINCT labels->>'worker' FROM samples WHERE metric = 'load.worker.cpu' ORDER BY 1"
    assert [name for (name,) in record.sql(at)] == ["0", "1", "master"]
    assert shown["results"]["latency.flip.p99"]["value"] is not None, "effects are matched across workers"


def test_a_worker_that_dies_makes_the_run_invalid(tmp_path: Path) -> None:
    options = ["--set", "secrets=300", "--set", "secret_rate=30/s", "--workers", str(WORKERS), "--json"]
    command = [*HARNESS, "run", "smoke", "--arm", "pass", *options, "--out", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as child:
        try:
            record = _loading(tmp_path, child)
            pids = [event["pid"] for event in RunRecord(record).events("load_worker")]
            assert len(set(pids)) == WORKERS
            os.kill(pids[0], signal.SIGKILL)
            out, _ = child.communicate(timeout=LIMIT_S)
        finally:
            child.kill()
    shown = json.loads(out)
    assert (child.returncode, shown["verdict"]) == (3, "invalid")
    assert f"(pid {pids[0]}) was killed by signal 9: its requests are missing" in shown["reasons"][0]
    assert leftovers(shown["run_id"]) == []


def test_workers_that_come_by_themselves_and_one_that_is_lost(tmp_path: Path) -> None:
    port = claim_pair()
    secret = tmp_path / "secret"
    secret.write_text("known to both of them")
    options = ["--set", "secrets=400", "--set", "secret_rate=30/s", "--workers-external", str(WORKERS), "--json"]
    options += ["--workers-listen", f"127.0.0.1:{port}", "--workers-secret", str(secret), "--out", str(tmp_path)]
    serving = [sys.executable, "-P", "-m", "loadgen", "--serve", f"127.0.0.1:{port}"]
    env = {**os.environ, "LOADGEN_SECRET_FILE": str(secret)}
    workers = [subprocess.Popen(serving, env=env, stderr=subprocess.DEVNULL) for _ in range(WORKERS)]
    try:
        with subprocess.Popen(
            [*HARNESS, "run", "smoke", "--arm", "pass", *options],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ) as child:  # fmt: skip
            try:
                record = _loading(tmp_path, child)
                joined = list(RunRecord(record).events("load_worker"))
                assert len({event["pid"] for event in joined}) == WORKERS
                _both_sent(record)
                os.kill(joined[0]["pid"], signal.SIGKILL)
                out, _ = child.communicate(timeout=LIMIT_S)
            finally:
                child.kill()
    finally:
        for worker in workers:
            worker.terminate()
            worker.wait(30)
    shown = json.loads(out)
    assert (child.returncode, shown["verdict"]) == (3, "invalid")
    assert "was not heard of any more: its requests are missing" in shown["reasons"][0]


def _loading(runs: Path, child: subprocess.Popen[str]) -> Path:
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and child.poll() is None:
        for record in runs.glob("*/run.json"):
            if any(event.get("name") == "create-Secret" for event in RunRecord(record.parent).events("phase")):
                return record.parent
        time.sleep(0.2)
    pytest.fail("the load did not begin")


def _both_sent(record: Path) -> None:
    """Returns when rows of both workers are recorded."""
    deadline = time.monotonic() + LIMIT_S
    seen = "SELECT DISTINCT worker % 2 FROM requests WHERE phase = 'create-Secret' ORDER BY 1"
    while RunRecord(record).sql(seen) != [(0,), (1,)]:
        assert time.monotonic() < deadline, "both had their share"
        time.sleep(0.2)
