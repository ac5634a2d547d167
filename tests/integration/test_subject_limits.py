"""Real memory limits: kills by the kernel, told apart from everything else that ends a subject."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from harness.core.clock import RunClock
from harness.core.errors import EnvironmentFault
from harness.core.handles import Launch
from harness.core.ids import new_run_id
from harness.core.sinks import PropagationRow, RequestRow
from harness.process import leftover_cgroups, leftovers
from harness.subject import limits
from harness.subject.process import ProcessSubject, SubjectNotReady, start
from harness.subject.readiness import Ready

CAPABILITY = limits.probe()
pytestmark = pytest.mark.skipif(not CAPABILITY.ok, reason=f"no memory limits here: {CAPABILITY.sentence}")

LIMIT = 64 * 2**20
TRIES = 20

# Answers its readiness URL; once asked for /go, does what the command line says.
SUBJECT = """
import http.server, os, subprocess, sys, threading, time
GROW = "x = []\\nwhile True: x.append(bytearray(1 << 20))"
go = threading.Event()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        if self.path == "/go":
            go.set()
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
go.wait()
exec(sys.argv[2])
"""


class NoSink:
    """Takes everything, keeps nothing."""

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None: ...
    def requests(self, rows: Sequence[RequestRow]) -> None: ...
    def propagation(self, rows: Sequence[PropagationRow]) -> None: ...
    def event(self, type_: str, /, **fields: object) -> None: ...


def launch(run_dir: Path, action: str, run_id: str | None = None) -> Launch:
    run_dir.mkdir(exist_ok=True)
    return Launch(
        run_id=run_id or new_run_id(), run_dir=run_dir, clock=RunClock(), sink=NoSink(),
        command=[sys.executable, "-I", "-S", "-c", SUBJECT, "{port:web}", action], env=dict(os.environ), runtime="python",
        python=None,
    )  # fmt: skip


async def begin(order: Launch, incarnation: int = 0) -> ProcessSubject:
    url = "http://127.0.0.1:{port:web}"
    return await start(
        order, kubeconfig=order.run_dir / "kubeconfig", user="u", namespace="n", memory_limit=LIMIT, metrics_url=f"{url}/go",
        ready=Ready(http=f"{url}/healthz"), incarnation=incarnation,
    )  # fmt: skip


async def go(subject: ProcessSubject) -> None:
    assert subject.metrics_url is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", int(subject.metrics_url.split(":")[2].split("/")[0]))
    writer.write(b"GET /go HTTP/1.0\r\n\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await body()

    asyncio.run(bounded())


def test_an_oom_kill_is_seen_in_every_try(tmp_path: Path) -> None:
    run_id = new_run_id()

    async def one(number: int) -> str:
        subject = await begin(launch(tmp_path / str(number), "exec(GROW)", run_id), number)
        assert subject.cgroup is not None
        try:
            assert subject.cgroup.limit_bytes == LIMIT
            assert subject.pids() == subject.cgroup.pids() == [subject.pid]
            await go(subject)
            ending = await subject.wait_ended(30)
            assert ending == subject.ending()
            assert ending.sentence.startswith("OOM-killed at its memory limit: 1 OOM kill, limit reached ")
            assert ending.exit_code == 137
            assert subject.cgroup.path.exists()  # its counters can be read until stop()
            assert subject.cgroup.oom_kills() == 1
        finally:
            await subject.stop()
        assert not subject.cgroup.path.exists()
        assert subject.cgroup.oom_kills() == 1
        assert subject.cgroup.limit_hits() > 0
        assert LIMIT - 2**20 <= (subject.cgroup.peak_bytes() or LIMIT) <= LIMIT
        return ending.kind

    async def body() -> None:
        for first in range(0, TRIES, 4):
            assert await asyncio.gather(*map(one, range(first, first + 4))) == ["oom_limit"] * 4

    run(body)
    assert leftovers(run_id) == []
    assert leftover_cgroups(run_id) == []


@pytest.mark.parametrize(
    ("action", "kind", "code", "kills"),
    [
        ("os.kill(os.getpid(), 9)", "crash", 137, 0),
        ("os._exit(137)", "crash", 137, 0),
        ("os.abort()", "crash", 134, 0),
        ("sys.exit(0)", "clean", 0, 0),
        ("subprocess.run([sys.executable, '-c', GROW]); sys.exit(0)", "clean", 0, 1),  # its child was the victim
        (
            "sys.exit(128 - subprocess.run([sys.executable, '-c', GROW]).returncode)",
            "oom_limit",
            137,
            1,
        ),  # as a wrapper
        # The limit is hit by page cache, which makes room, and then somebody kills it.
        (
            "f = open('cache', 'wb'); [f.write(bytes(1 << 20)) for _ in range(150)]; os.kill(os.getpid(), 9)",
            "crash",
            137,
            0,
        ),
    ],
)
def test_other_endings(tmp_path: Path, action: str, kind: str, code: int, kills: int) -> None:
    async def body() -> None:
        subject = await begin(launch(tmp_path, f"os.chdir({str(tmp_path)!r}); {action}"))
        try:
            await go(subject)
            ending = await subject.wait_ended(30)
            assert (ending.kind, ending.exit_code) == (kind, code), ending.sentence
            assert subject.cgroup is not None
            assert subject.cgroup.oom_kills() == kills
        finally:
            await subject.stop()

    run(body)


def test_a_kill_by_an_enclosing_limit_is_not_its_own(tmp_path: Path) -> None:
    async def body() -> None:
        subject = await begin(launch(tmp_path, "exec(GROW)"))
        try:
            assert isinstance(subject.cgroup, limits.MemoryCgroup)
            limits.set_limit(subject.cgroup.path.parent, subject.cgroup.version, LIMIT // 2)
            await go(subject)
            ending = await subject.wait_ended(30)
            assert ending.kind == "oom_node", ending.sentence
        finally:
            await subject.stop()

    run(body)


def test_a_child_is_killed_while_the_main_process_lives_on(tmp_path: Path) -> None:
    async def body() -> None:
        subject = await begin(launch(tmp_path, "subprocess.run([sys.executable, '-c', GROW]); time.sleep(60)"))
        try:
            assert subject.cgroup is not None
            await go(subject)
            while not subject.cgroup.oom_kills():  # noqa: ASYNC110 - the kernel has no event for us
                await asyncio.sleep(0.01)
            assert subject.ending() is None
            ending = await subject.stop()
            assert ending.kind == "our_signal"
            assert "1 OOM kill of its processes" in ending.sentence
        finally:
            await subject.stop()

    run(body)


def test_killed_before_it_was_ready(tmp_path: Path) -> None:
    async def body() -> None:
        order = launch(tmp_path, "")
        order.command[4] = "x = []\nwhile True: x.append(bytearray(1 << 20))"
        with pytest.raises(SubjectNotReady, match=r"OOM-killed at its memory limit: .* before it was ready") as caught:
            await begin(order)
        assert caught.value.ending is not None
        assert caught.value.ending.kind == "oom_limit"
        assert leftover_cgroups(order.run_id) == []

    run(body)


def test_a_fresh_cgroup_for_each_incarnation(tmp_path: Path) -> None:
    async def body() -> None:
        order = launch(tmp_path, "exec(GROW)")
        first = await begin(order)
        await go(first)
        await first.wait_ended(30)
        second = await begin(order, 1)
        try:
            assert first.cgroup is not None
            assert second.cgroup is not None
            await first.stop()
            assert (first.cgroup.oom_kills(), second.cgroup.oom_kills()) == (1, 0)
            assert not first.cgroup.path.exists()
            assert second.cgroup.path.exists()
            with pytest.raises(EnvironmentFault, match="File exists"):
                await begin(order, 1)
            assert second.cgroup.path.exists()
        finally:
            await second.stop()
        assert leftover_cgroups(order.run_id) == []

    run(body)


def test_nothing_is_left_when_the_harness_is_killed(tmp_path: Path) -> None:
    run_id = new_run_id()
    code = (
        "import asyncio, sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import test_subject_limits as t\n"
        "async def main():\n"
        "    subject = await t.begin(t.launch(Path(sys.argv[2]), 'exec(GROW)', sys.argv[3]))\n"
        "    print('up', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path), run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == b"up\n"
        assert len(leftover_cgroups(run_id)) == 1
        harness.send_signal(signal.SIGKILL)
        harness.wait(10)
    end = time.monotonic() + 15
    while leftovers(run_id) or leftover_cgroups(run_id):
        assert time.monotonic() < end
        time.sleep(0.02)
