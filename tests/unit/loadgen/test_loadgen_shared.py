"""Several load workers under a master, as the harness sees them, against a server that says it is a fake."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.unit.loadgen.loadgen_fake_api import FakeAPI, Reply, Seen, serve
from tests.unit.loadgen.loadgen_plans import phase, plan
from tests.unit.loadgen.loadgen_process import Process

WORKER, INTENDED, NAME, ERROR = 1, 3, 8, 10
WORKERS = 3
NS = 1_000_000_000


def behave(seen: Seen) -> Reply | None:
    """By the phase's name, with which the object's begins."""
    match seen.name.partition("-")[0]:
        case "slow":
            return Reply(keep=True, pause_s=0.1)
        case "never":
            return Reply(keep=True, pause_s=30)
        case "held" if int(seen.name.rpartition("-")[2]) in range(31, 60, 3):
            return Reply(keep=True, pause_s=60)
        case "denied":
            return Reply(403, "Forbidden", f'secrets "{seen.name}" is forbidden')
    return None


@pytest.fixture
def api() -> Iterator[FakeAPI]:
    with serve(behave) as fake:
        yield fake


def _plan(api: FakeAPI, *phases: dict[str, object]) -> dict[str, object]:
    return plan(*phases, server=api.url, workers=WORKERS)


def _children(process: Process) -> list[psutil.Process]:
    return psutil.Process(process.popen.pid).children()


def test_workers_share_each_phase_and_none_makes_what_another_does(api: FakeAPI, tmp_path: Path) -> None:
    phases = [
        phase("fast", count=100, concurrency=7),
        phase("timed", count=40, rate=50.0, concurrency=6),
        phase("one", count=1, concurrency=64),
        phase("drawn", count=30, rate={"poisson": 60.0}, concurrency=4),
        phase("denied", count=9, concurrency=3),
    ]
    with Process(_plan(api, *phases), tmp_path) as process:
        process.ready()
        process.run("fast", "timed", "one", "drawn", "denied")
        process.command('{"stop": true}')
        assert process.finish() == 0
    for each in phases:
        name = each["name"]
        rows = process.rows(name)
        made = Counter(row[NAME] for row in rows)
        assert made == {f"{name}-k4x7q-{index:05d}": 1 for index in range(each["count"])}
        ended = process.ended(name)
        failed = each["count"] if name == "denied" else 0
        assert (ended["done"], ended["failed"]) == (each["count"] - failed, failed)
    # Each sender's number tells its worker; all worked, and no two senders have the same number.
    assert {row[WORKER] % WORKERS for row in process.rows("fast")} == {0, 1, 2}
    assert len({row[WORKER] for row in process.rows("fast")}) <= 9
    start = next(line for line in process.lines if line.get("phase") == "timed" and line["state"] == "started")["t_ns"]
    # The schedule is that of the whole phase, whoever sends.
    assert sorted(row[INTENDED] - start for row in process.rows("timed")) == [index * NS // 50 for index in range(40)]
    assert process.ended("timed")["achieved_per_s"] <= 55, "nobody sends before the schedule says"
    assert len(process.errors("denied")) == 1, "an error is news once, not once for each worker"
    workers = [line for line in process.lines if line["type"] == "worker"]
    assert [line["worker"] for line in workers] in ([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0])
    assert len({line["pid"] for line in workers}) == WORKERS
    costs = [line for line in process.lines if line["type"] == "self"][-1]
    assert {each["worker"] for each in costs["workers"]} == {"0", "1", "2", "master"}
    assert costs["cpu_s"] == pytest.approx(sum(each["cpu_s"] for each in costs["workers"]))


def test_a_phase_of_rounds_is_one_workers_and_parallel_phases_are_shared(api: FakeAPI, tmp_path: Path) -> None:
    # A step is one request: it is over with its answer, however long that takes, and so nothing is given up.
    steps = {"until_failure": 0.05, "by": 0.05, "to": 0.25, "each_s": 5}
    phases = [
        phase("steps", count=5, rate=steps, concurrency=4),
        phase("a", count=20, concurrency=4),
        phase("b", count=20, rate=40.0, concurrency=4),
    ]
    with Process(_plan(api, *phases), tmp_path) as process:
        process.ready()
        process.run("steps")
        process.command('{"run": ["a", "b"]}')
        seen: set[str] = set()
        while seen != {"a", "b"}:
            seen.add(process.until(lambda line: line["type"] == "phase" and line["state"] == "ended")["phase"])
        process.command('{"stop": true}')
        assert process.finish() == 0
    made = Counter(row[NAME] for row in process.rows("steps"))
    assert {row[WORKER] % WORKERS for row in process.rows("steps")} == {0}
    # How many steps are kept is a matter of how busy this machine is; that one worker counts them all is not.
    assert set(made.values()) == {1}
    assert process.ended("steps")["done"] == process.ended("steps")["requested"] == len(made)
    assert (process.ended("a")["done"], process.ended("b")["done"]) == (20, 20)


def test_a_phase_that_is_cut_off_leaves_its_workers_free_for_the_next(api: FakeAPI, tmp_path: Path) -> None:
    phases = [phase("never", count=6, concurrency=6, timeout_s=0.5), phase("fast", count=30, concurrency=6)]
    with Process(_plan(api, *phases), tmp_path) as process:
        process.ready()
        process.run("never", "fast")
        process.command('{"stop": true}')
        assert process.finish() == 0
    assert process.ended("never")["done"] == 0
    assert process.ended("fast")["done"] == 30
    assert not [line for line in process.lines if line["type"] == "lost"]


def test_a_worker_that_is_killed_is_missed(api: FakeAPI, tmp_path: Path) -> None:
    with Process(_plan(api, phase("held", count=60, concurrency=3), phase("fast", count=9)), tmp_path) as process:
        process.ready()
        process.command('{"run": "held"}')
        process.until(lambda line: line["type"] == "requests")
        victim = next(line for line in process.lines if line["type"] == "worker" and line["worker"] == 1)["pid"]
        os.kill(victim, signal.SIGKILL)
        process.until(lambda line: line.get("phase") == "held" and line.get("state") == "ended")
        process.run("fast")
        process.command('{"stop": true}')
        assert process.finish() == 0
    (lost,) = [line for line in process.lines if line["type"] == "lost"]
    assert lost["message"] == f"load worker 2 of 3 (pid {victim}) was killed by signal 9: its requests are missing"
    held = process.rows("held")
    assert process.ended("held")["done"] == len(held) < 60
    assert {row[NAME] for row in held} >= {f"held-k4x7q-{index:05d}" for index in range(60) if index % 3 != 1}
    # What comes later lacks its share too; nobody else makes it, so that the load cannot look complete.
    assert process.ended("fast")["done"] == 6


def test_a_worker_that_stands_still_is_missed_and_ended(api: FakeAPI, tmp_path: Path) -> None:
    with Process(_plan(api, phase("slow", count=90, concurrency=3, timeout_s=20)), tmp_path) as process:
        process.ready()
        process.command('{"run": "slow"}')
        process.until(lambda line: line["type"] == "requests")
        victim = psutil.Process(next(line for line in process.lines if line["type"] == "worker")["pid"])
        victim.suspend()
        lost = process.until(lambda line: line["type"] == "lost")
        assert "was not heard of any more" in lost["message"]
        victim.wait(10)
        process.command('{"stop": true}')
        assert process.finish() == 0


def test_nothing_stays_when_the_master_is_killed(api: FakeAPI, tmp_path: Path) -> None:
    with Process(_plan(api, phase("slow", count=600)), tmp_path) as process:
        process.ready()
        children = _children(process)
        process.command('{"run": "slow"}')
        process.until(lambda line: line["type"] == "requests")
        process.popen.kill()
        _gone, alive = psutil.wait_procs(children, timeout=10)
        assert len(children) == WORKERS
        assert not alive


def test_the_end_comes_soon_also_while_workers_wait(api: FakeAPI, tmp_path: Path) -> None:
    with Process(_plan(api, phase("never", count=6)), tmp_path) as process:
        process.ready()
        children = _children(process)
        process.command('{"run": "never"}')
        process.until(lambda line: line.get("state") == "started")
        time.sleep(0.3)
        process.stdin.close()
        assert process.finish() == 0
        assert not psutil.wait_procs(children, timeout=10)[1]


def test_what_is_wrong_with_a_plan_is_told_once(api: FakeAPI, tmp_path: Path) -> None:
    with Process(_plan(api, phase(action="dance")), tmp_path) as process:
        assert process.finish() == 2
    assert [line["type"] for line in process.lines] == ["error"]
    assert "unknown 'dance'" in process.lines[0]["message"]
