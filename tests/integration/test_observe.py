"""A subject that somebody else loads, and one that somebody else has started: measured, and otherwise left alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.core.kinds import find
from harness.kube.api import Api
from harness.process import leftovers
from harness.record.reader import RunRecord
from tests.integration.harness_run import HARNESS, LIMIT_S, run

pytestmark = pytest.mark.cluster

WORKER = """
import sys, time
held = []
print("up", flush=True)
while True:
    held.append(bytearray(2**20))
    time.sleep(0.05)
"""


@contextmanager
def somebody_elses(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that the test itself starts, once it says that it is up."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output = process.stdout
    assert output is not None
    try:
        assert output.readline() == b"up\n"
        yield process
    finally:
        process.kill()
        process.wait()
        output.close()


def scenario(**parts: Any) -> dict[str, Any]:
    return {
        "name": "watched",
        "summary": "Somebody else's load.",
        "subject": {"controller": "fleet"},
        "load": [{"create": {"kind": "Secret", "count": 100}}],
        **parts,
    }


def test_somebody_elses_load_is_measured_until_ctrl_c(tmp_path: Path) -> None:
    expect = ["memory.rss.peak < 4GiB", "load.failures == 0", "completeness.Secret == 1"]

    def load(line: str, harness: subprocess.Popen[str]) -> None:
        kubeconfig, namespace = line.strip().split("KUBECONFIG=")[1].split(" namespace ")
        asyncio.run(make_secrets(Path(kubeconfig), namespace, 20))
        harness.send_signal(signal.SIGINT)

    code, shown = observe(tmp_path, scenario(expect=expect), load)
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    assert shown["observed"] is True
    assert shown["expected"] == []
    assert "observe" in [phase["name"] for phase in shown["phases"]]
    judged = {item["expr"].split()[0]: (item["ok"], item["counts"]) for item in shown["expectations"]}
    assert judged == {
        "memory.rss.peak": (True, True), "load.failures": (None, False), "completeness.Secret": (None, False),
    }  # fmt: skip
    record = RunRecord(Path(shown["path"]))
    # The load was seen although it was not ours: its 20 objects, and nothing of the 100 that the scenario would make.
    (objects,) = record.sql("SELECT max(value) FROM samples WHERE metric = 'objects' AND labels->>'kind' = 'Secret'")[0]
    assert objects == 20
    assert record.sql("SELECT count(*) FROM requests") == [(0,)]
    assert "load.retries" not in shown["results"]
    assert shown["results"]["cpu.total"]["value"] is not None


def observe(
    directory: Path, watched: dict[str, Any], meanwhile: Callable[[str, subprocess.Popen[str]], None], *options: str
) -> tuple[int, dict[str, Any]]:
    """Observe until the run ends; `meanwhile` gets the line that says it began, and the harness."""
    path = directory / "watched.yaml"
    path.write_text(json.dumps(watched))
    command = [*HARNESS, "run", str(path), "--out", str(directory / "runs"), "--json", "--observe", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as harness:
        guard = threading.Timer(LIMIT_S, harness.kill)
        guard.start()
        try:
            assert harness.stderr is not None
            meanwhile(next(line for line in harness.stderr if "load it now" in line), harness)
            stdout, stderr = harness.communicate()
        finally:
            guard.cancel()
    assert stdout, stderr
    shown: dict[str, Any] = json.loads(stdout)
    assert leftovers(shown["run_id"]) == []
    return harness.returncode, shown


async def make_secrets(kubeconfig: Path, namespace: str, count: int) -> None:
    async with await Api.connect(kubeconfig) as api:
        for number in range(count):
            secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"mine-{number}"}}
            await api.create(find("Secret"), secret, namespace)
    await asyncio.sleep(1)  # the harness sees them before it is told to end


def test_a_process_of_somebody_else_is_measured_and_goes_on(tmp_path: Path) -> None:
    with somebody_elses(sys.executable, "-c", WORKER) as process:
        parts = {"expect": ["memory.rss.peak > 1MiB", "writes.total == 0"]}
        code, shown, record = run(tmp_path, scenario(**parts), "--observe", "--for", "2s", "--pid", str(process.pid))
        assert process.poll() is None  # never ended by us
    assert (code, shown["verdict"]) == (3, "inconclusive"), shown["reasons"]
    subject = shown["subject"]
    assert (subject["kind"], subject["pid"], subject["runtime"]) == ("process", process.pid, "python")
    assert subject["memory_limit_bytes"] is None  # the scenario's subject has a limit, this process has not
    assert shown["cluster"] == {"provider": "none"}
    results = shown["results"]
    assert results["memory.rss.peak"]["value"] > 2**20
    assert results["threads.peak"]["value"] >= 1
    for name, why in (
        ("writes.total", "its identity to its API server is not known"),
        ("tasks.peak", "no agent could be put inside"),
        ("startup.synced", "somebody else had started it"),
    ):
        assert results[name]["value"] is None
        assert why in results[name]["reason"]
    growing = record.sql("SELECT arg_min(value, t_ns) < arg_max(value, t_ns) FROM samples WHERE metric = 'memory.anon'")
    assert growing == [(True,)]


def test_a_process_that_ends_meanwhile_says_nothing_of_its_end(tmp_path: Path) -> None:
    with somebody_elses(sys.executable, "-c", WORKER) as process:
        kill = lambda _line, _harness: process.kill()  # noqa: E731 # its parent, this test, is not told to anybody
        code, shown = observe(tmp_path, scenario(), kill, "--for", "5m", "--pid", str(process.pid))
    assert (code, shown["verdict"]) == (3, "invalid")
    assert shown["reasons"] == [f"process {process.pid} has ended; how, only its parent knows"]
    assert shown["ending"]["exit_code"] is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--observe", "--pid", "{gone}"], "pid {gone}: there is no such process; `pgrep -f NAME` tells the pid"),
        (["--pid", "{self}"], "pid {self}: a process that runs already does not know the cluster"),
        (["--observe", "--pid", "{self}", "--subject", "x"], "--pid and --subject both say what the subject is"),
        (
            ["--observe", "--pid", "{self}", "--memray", "launch"],
            "pid {self}: memray and Pyroscope are put into a subject",
        ),
        (["--for", "5m"], "--for is how long to observe; add --observe"),
        (["--observe", "--for", "5"], "--for: '5' lacks a unit"),
        (["--observe", "--for", "10ms"], "--for 10ms is less than 1 s"),
    ],
)
def test_what_cannot_be_observed_is_one_line(tmp_path: Path, options: list[str], said: str) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    words = {"gone": str(ended.pid), "self": str(os.getpid())}
    path = tmp_path / "watched.yaml"
    path.write_text(json.dumps(scenario()))
    command = [*HARNESS, "run", str(path), "--out", str(tmp_path / "runs"), *(each.format(**words) for each in options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"harness: {said.format(**words)}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
