"""Load workers that come by themselves, as processes of another machine would, to a master at a fake API."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from loadgen import secret
from loadgen.fields import PlanError
from loadgen.pod import in_pod
from tests.ports import claim_pair
from tests.unit.loadgen.loadgen_fake_api import FakeAPI, Reply, serve
from tests.unit.loadgen.loadgen_plans import phase, plan
from tests.unit.loadgen.loadgen_process import DEADLINE_S, Process

WORKER, SENT, DONE, NAME, ERROR = 1, 4, 5, 8, 10
DAY_NS = 86400 * 10**9
SECRET = "a-secret-of-tests-that-is-long-enough"
WORKERS = 2
REFUSED = 4


@pytest.fixture
def api() -> Iterator[FakeAPI]:
    with serve(lambda seen: Reply(keep=True, pause_s=0.1) if seen.name.startswith("slow") else None) as fake:
        yield fake


@pytest.fixture
def port() -> int:
    return claim_pair()


def document(api: FakeAPI, port: int, tmp_path: Path, *phases: dict[str, object], wait_s: float = 40) -> dict[str, Any]:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    gate = {"host": "127.0.0.1", "port": port, "secret_file": str(file), "wait_s": wait_s}
    return plan(*phases, server=api.url, workers=WORKERS, external=gate)


ANOTHER_CLOCK = ["unshare", "--time", "--monotonic", "86400", "--fork", "--kill-child"]
"""A container with a time namespace of its own: the same machine, and a monotonic clock that is a day ahead."""


def _unshared() -> bool:
    return (
        bool(shutil.which("unshare")) and subprocess.run([*ANOTHER_CLOCK, "true"], capture_output=True).returncode == 0
    )


@contextmanager
def worker(
    port: int, tmp_path: Path, name: str, known: str = SECRET, within: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """As a container of the Deployment starts it."""
    file = tmp_path / f"{name}.secret"
    file.write_text(known)
    with (tmp_path / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [*within, sys.executable, "-P", "-m", "loadgen", "--serve", f"127.0.0.1:{port}"],
            env={**os.environ, secret.FILE_ENV: str(file)}, stderr=log, stdout=log,
        )  # fmt: skip
    try:
        yield process
    finally:
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        (children[0] if within and children else process).terminate()
        try:
            assert process.wait(DEADLINE_S) in (0, REFUSED)
        finally:
            process.kill()
        assert psutil.wait_procs(children, timeout=DEADLINE_S)[1] == [], "nothing of a worker stays"


def test_workers_that_come_by_themselves_share_a_run_and_wait_for_the_next(
    api: FakeAPI, port: int, tmp_path: Path
) -> None:
    with worker(port, tmp_path, "one") as one, worker(port, tmp_path, "two"), worker(port, tmp_path, "spare"):
        for number in range(2):  # the same workers serve both
            directory = tmp_path / str(number)
            directory.mkdir()
            names = f"fast{number}"
            with Process(document(api, port, tmp_path, phase(names, count=60, concurrency=6)), directory) as process:
                process.ready()
                process.run(names)
                process.command('{"stop": true}')
                assert process.finish() == 0
            rows = process.rows(names)
            assert Counter(row[NAME] for row in rows) == {f"{names}-k4x7q-{index:05d}": 1 for index in range(60)}
            joined = [line for line in process.lines if line["type"] == "worker"]
            assert len({line["pid"] for line in joined}) == WORKERS, "one of three waits"
            assert process.ended(names)["done"] == 60
        assert one.poll() is None
    assert SECRET not in "".join(path.read_text() for path in tmp_path.rglob("*.json")), "the plan holds no secret"


def test_a_worker_that_is_lost_is_told_and_its_successor_is_no_replacement(
    api: FakeAPI, port: int, tmp_path: Path
) -> None:
    slow = phase("slow", count=200, concurrency=2, timeout_s=40)
    with (
        worker(port, tmp_path, "one"),
        worker(port, tmp_path, "two"),
        Process(document(api, port, tmp_path, slow), tmp_path) as process,
    ):
        process.ready()
        process.command('{"run": "slow"}')
        process.until(lambda line: line["type"] == "requests")
        victim = next(line for line in process.lines if line["type"] == "worker")
        os.kill(victim["pid"], signal.SIGKILL)
        lost = process.until(lambda line: line["type"] == "lost")
        assert lost["worker"] == victim["worker"]
        assert f"(pid {victim['pid']} on {socket.gethostname()}) was not heard of any more" in lost["message"]
        process.until(lambda line: line.get("state") == "ended")
        process.command('{"stop": true}')
        assert process.finish() == 0
    assert process.ended("slow")["done"] == len(process.rows("slow")) < 200
    assert len([line for line in process.lines if line["type"] == "worker"]) == WORKERS


def test_a_worker_that_is_told_to_end_is_lost_at_once(api: FakeAPI, port: int, tmp_path: Path) -> None:
    """As a pod is that somebody deletes: it ends in order, and what it leaves undone must not pass for done."""
    slow = phase("slow", count=200, concurrency=2, timeout_s=40)
    with (
        worker(port, tmp_path, "one"),
        worker(port, tmp_path, "two"),
        Process(document(api, port, tmp_path, slow), tmp_path) as process,
    ):
        process.ready()
        process.command('{"run": "slow"}')
        process.until(lambda line: line["type"] == "requests")
        victim = next(line for line in process.lines if line["type"] == "worker")
        os.kill(victim["pid"], signal.SIGTERM)
        lost = process.until(lambda line: line["type"] == "lost")
        assert lost["worker"] == victim["worker"]
        assert f"(pid {victim['pid']} on {socket.gethostname()}) was told to end, and not by us" in lost["message"]
        process.until(lambda line: line.get("state") == "ended")
        process.command('{"stop": true}')
        assert process.finish() == 0
    assert 0 < process.ended("slow")["done"] == len([row for row in process.rows("slow") if row[ERROR] is None]) < 200
    assert [line["worker"] for line in process.lines if line["type"] == "lost"] == [victim["worker"]]


def test_workers_of_a_master_that_was_killed_serve_the_next(api: FakeAPI, port: int, tmp_path: Path) -> None:
    """Nothing tells them: not a pipe that ends, as one machine's workers have, and not Locust, which ends its own part alone."""
    with worker(port, tmp_path, "one") as one, worker(port, tmp_path, "two") as two:
        for number in range(2):
            directory = tmp_path / str(number)
            directory.mkdir()
            name = f"fast{number}"
            with Process(document(api, port, tmp_path, phase(name, count=20, concurrency=4)), directory) as process:
                process.ready()
                process.run(name)  # leaving the `with` kills it
            assert process.ended(name)["done"] == 20
        assert (one.poll(), two.poll()) == (None, None)


@pytest.mark.skipif(not _unshared(), reason="no time namespace can be made here")
def test_clocks_are_compared_and_one_that_differs_is_set(api: FakeAPI, port: int, tmp_path: Path) -> None:
    with (
        worker(port, tmp_path, "one"),
        worker(port, tmp_path, "ahead", within=ANOTHER_CLOCK),
        Process(document(api, port, tmp_path, phase("fast", count=60, rate=60.0)), tmp_path) as process,
    ):
        process.ready()
        process.run("fast")
        process.command('{"stop": true}')
        assert process.finish() == 0
    here, ahead = sorted(
        (line for line in process.lines if line["type"] == "worker"), key=lambda line: -line["offset_ns"]
    )
    assert here["shared_clock"]
    assert abs(here["offset_ns"]) <= here["uncertainty_ns"]
    assert not ahead["shared_clock"]
    assert abs(ahead["offset_ns"] + DAY_NS) <= ahead["uncertainty_ns"]
    started, ended = (line["t_ns"] for line in process.lines if line.get("phase") == "fast" and line["type"] == "phase")
    assert Counter(row[WORKER] % 2 for row in process.rows("fast")) == {0: 30, 1: 30}
    for row in process.rows("fast"):
        assert started <= row[SENT] + ahead["uncertainty_ns"]
        assert row[DONE] - ahead["uncertainty_ns"] <= ended


def test_who_does_not_know_the_secret_is_sent_away_and_says_so(api: FakeAPI, port: int, tmp_path: Path) -> None:
    with (
        worker(port, tmp_path, "one"),
        worker(port, tmp_path, "stranger", "another-secret-altogether") as stranger,
        Process(document(api, port, tmp_path, phase(), wait_s=20), tmp_path) as process,
    ):
        assert stranger.wait(DEADLINE_S) == REFUSED
        assert process.finish() == 2
    assert "the master does not take this secret" in (tmp_path / "stranger.log").read_text()
    (error,) = [line for line in process.lines if line["type"] == "error"]
    assert error["message"] == "1 of 2 load workers came within 20 s; 1 came that did not know the secret"
    assert error["fatal"] is True


def test_a_master_that_does_not_know_the_secret_gets_nothing_out_of_a_worker(port: int, tmp_path: Path) -> None:
    """It would be told nothing but a proof, and could send no plan of its own."""
    with socket.create_server(("127.0.0.1", port)) as server, worker(port, tmp_path, "one") as process:
        server.settimeout(DEADLINE_S)
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as stream:
            stream.write(b'{"gate": "harness.load-gate/v1", "nonce": "00"}\n')
            stream.flush()
            said = json.loads(stream.readline())
            assert set(said) == {"nonce", "proof"}
            stream.write(json.dumps({"proof": said["proof"], "port": 1, "plan": {}}).encode() + b"\n")
            stream.flush()
            assert process.wait(DEADLINE_S) == REFUSED
    assert "the master does not know the secret" in (tmp_path / "one.log").read_text()


@pytest.mark.parametrize(
    "rubbish", [b"", b"\n", b"[1]\n", b"{}\n", b'{"nonce": 1, "proof": []}\n', b"\xff\xfe\n", b"x" * 5000]
)
def test_rubbish_at_the_gate_disturbs_nobody(api: FakeAPI, port: int, tmp_path: Path, rubbish: bytes) -> None:
    with Process(document(api, port, tmp_path, phase()), tmp_path) as process:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        with connection, connection.makefile("rb") as stream:
            assert json.loads(stream.readline())["gate"] == "harness.load-gate/v1"
            connection.sendall(rubbish)
            connection.shutdown(socket.SHUT_WR)
            assert stream.read() == b"", "nothing is told to a stranger"
        with worker(port, tmp_path, "one"), worker(port, tmp_path, "two"):
            process.ready()
            process.command('{"stop": true}')
            assert process.finish() == 0


def test_what_is_wrong_with_secret_or_port_is_one_line(api: FakeAPI, port: int, tmp_path: Path) -> None:
    short = document(api, port, tmp_path, phase())
    (tmp_path / "secret").write_text("short")
    with Process(short, tmp_path) as process:
        assert process.finish() == 2
    assert "has 5 characters, 16 are the least" in process.lines[0]["message"]
    taken = document(api, port, tmp_path, phase())
    with socket.create_server(("127.0.0.1", port)), Process(taken, tmp_path) as process:
        assert process.finish() == 2
    assert f"127.0.0.1:{port}: load workers cannot be listened for" in process.lines[0]["message"]
    with pytest.raises(PlanError, match="cannot be read: No such file"):
        secret.read(tmp_path / "none")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "loadgen", "--enter", "127.0.0.1:1"], capture_output=True, text=True,
        env={key: value for key, value in os.environ.items() if key != secret.FILE_ENV}, timeout=DEADLINE_S,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "LOADGEN_SECRET_FILE is not set" in done.stderr


def test_in_a_pod_a_worker_is_itself(tmp_path: Path) -> None:
    inside = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT_HTTPS": "6443"}
    assert in_pod(inside, tmp_path) is None, "no token: it is no pod with an account"
    (tmp_path / "token").write_text("t")
    assert in_pod({}, tmp_path) is None
    assert in_pod(inside, tmp_path) == {
        "server": "https://[fd00::1]:6443", "ca_file": str(tmp_path / "ca.crt"), "token_file": str(tmp_path / "token"),
    }  # fmt: skip
