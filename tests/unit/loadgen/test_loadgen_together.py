"""Phases at the same time, Retry-After, watchers and Locust by hand: real processes against the fake API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.unit.loadgen.loadgen_fake_api import Reply, Seen, serve
from tests.unit.loadgen.loadgen_plans import phase, plan
from tests.unit.loadgen.loadgen_process import DEADLINE_S, Process

ATTEMPT, SENT, DONE, STATUS, ERROR = 2, 4, 5, 9, 10
REPOSITORY = Path(__file__).parents[3]


def behave(seen: Seen) -> Reply | None:
    if seen.name.startswith("throttled") and seen.attempt == 1:
        return Reply(429, "TooManyRequests", "later", {"Retry-After": "1"})
    if seen.name.startswith("stuck"):
        return Reply(pause_s=30.0)
    return None


def run_together(process: Process, *names: str) -> None:
    process.command(json.dumps({"run": list(names)}))
    for _ in names:
        process.until(lambda line: line["type"] == "phase" and line["state"] == "ended")


def test_phases_run_at_the_same_time_and_end_each_on_its_own(tmp_path: Path) -> None:
    with serve(behave) as api:
        document = plan(
            phase("bursts", count=6, rate={"burst": 2, "every_s": 0.2}),
            phase("steady", count=10, rate=50.0),
            phase("stuck", count=4, timeout_s=0.5),
            phase("after"),
            server=api.url,
        )
        with Process(document, tmp_path) as process:
            process.ready()
            run_together(process, "bursts", "steady", "stuck")
            process.run("after")
            process.command('{"run": ["after", "after"]}')
            process.until(lambda line: line["type"] == "error")
            process.command('{"stop": true}')
            assert process.finish() == 0
        started = {line["phase"]: line["t_ns"] for line in process.lines if line.get("state") == "started"}
        together = [started[name] for name in ("bursts", "steady", "stuck")]
        first_end = min(process.ended(name)["t_ns"] for name in ("bursts", "steady", "stuck"))
        assert max(together) < first_end
        assert {name: process.ended(name)["done"] for name in started} == {
            "bursts": 6, "steady": 10, "stuck": 0, "after": 3,
        }  # fmt: skip
        assert len(process.rows("bursts")) == 6
        intended = sorted(row[3] - started["bursts"] for row in process.rows("bursts"))
        assert intended == [0, 0, 200_000_000, 200_000_000, 400_000_000, 400_000_000]
        assert process.errors() == ["phases after, after: at most 10 different ones run at the same time"]


def test_a_throttled_request_waits_as_long_as_the_server_asks(tmp_path: Path) -> None:
    with serve(behave) as api, Process(plan(phase("throttled", count=2), server=api.url), tmp_path) as process:
        process.ready()
        process.run("throttled")
        rows = sorted(process.rows("throttled"), key=lambda row: (row[8], row[ATTEMPT]))
        assert [(row[ATTEMPT], row[STATUS], row[ERROR] is None) for row in rows] == [
            (1, 429, False),
            (2, 201, True),
        ] * 2
        for refused, again in zip(rows[::2], rows[1::2], strict=True):
            # Without the header it would be a tenth of a second.
            assert again[SENT] - refused[DONE] >= 1_000_000_000
        assert process.ended("throttled")["failed"] == 0


def by_hand(directory: Path, document: object) -> subprocess.CompletedProcess[str]:
    path = directory / "plan.json"
    path.write_text(json.dumps(document))
    command = [sys.executable, "-m", "locust", "-f", "loadgen/locustfile.py", "--headless", "--only-summary"]
    env = {**os.environ, "LOADGEN_PLAN": str(path)}
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=REPOSITORY, timeout=DEADLINE_S)


def test_locust_by_hand_carries_out_the_whole_plan(tmp_path: Path) -> None:
    with serve(behave) as api:
        done = by_hand(tmp_path, plan(phase("first", count=30), phase("second", count=20, rate=100.0), server=api.url))
        assert done.returncode == 0, done.stderr
        assert len(api.objects) == 50
        assert "first: 30 of 30 done, 0 failed" in done.stderr
        assert "second: 20 of 20 done, 0 failed" in done.stderr


def test_locust_by_hand_with_a_wrong_plan_is_one_line(tmp_path: Path) -> None:
    done = by_hand(tmp_path, plan(phase(action="shake")))
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "LOADGEN_PLAN" in line]
    assert line.startswith("LOADGEN_PLAN: plan.phases[0].action: unknown 'shake'")
