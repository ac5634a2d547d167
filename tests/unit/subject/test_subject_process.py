"""What a subject is given, and what becomes of it, without a memory limit."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import RunClock
from harness.core.errors import RunFault, UsageError
from harness.core.handles import Launch
from harness.core.ids import new_run_id
from harness.core.sinks import PropagationRow, RequestRow
from harness.process import leftovers
from harness.subject.process import ProcessSubject, SubjectNotReady, environment, start
from harness.subject.readiness import Ready
from harness.subject.witness import node_oom_kills


class NoSink:
    """Takes everything, keeps nothing."""

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None: ...
    def requests(self, rows: Sequence[RequestRow]) -> None: ...
    def propagation(self, rows: Sequence[PropagationRow]) -> None: ...
    def event(self, type_: str, /, **fields: object) -> None: ...


def launch(tmp_path: Path, code: str, *arguments: str, **env: str) -> Launch:
    return Launch(
        run_id=new_run_id(), run_dir=tmp_path, clock=RunClock(), sink=NoSink(),
        command=[sys.executable, "-S", "-c", code, *arguments], env={"PATH": os.environ["PATH"], **env},
        runtime="python", python=None,
    )  # fmt: skip


async def begin(order: Launch, **options: object) -> ProcessSubject:
    defaults: dict[str, Any] = {"kubeconfig": order.run_dir / "kubeconfig", "user": "u", "namespace": "run-x"}
    return await start(order, **{**defaults, **options})


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())


SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
print(json.dumps([sys.argv[1:], {key: os.environ.get(key) for key in ("KUBECONFIG", "HARNESS_RUN_ID")}]), flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def test_a_subject_from_start_to_stop(tmp_path: Path) -> None:
    async def body() -> None:
        order = launch(tmp_path, SERVER, "{port:web}", "{namespace}", "--token=abc")
        url = "http://127.0.0.1:{port:web}/"
        subject = await begin(order, ready=Ready(http=url), metrics_url=url + "metrics")
        assert subject.metrics_url is not None
        port = subject.metrics_url.split(":")[2].split("/")[0]
        assert (tmp_path / "subject.log").read_text().splitlines()[0] == (
            f'[["{port}", "run-x", "--token=abc"], {{"KUBECONFIG": "{tmp_path}/kubeconfig", "HARNESS_RUN_ID": "{order.run_id}"}}]'
        )
        assert list(subject.command[-3:]) == [port, "run-x", "--token=REDACTED"]
        assert subject.pids() == [subject.pid]
        assert subject.ready_ns is not None
        assert 0 <= subject.started_ns < subject.ready_ns
        assert subject.cgroup is None
        assert subject.ending() is None
        ending = await subject.stop()
        assert (ending.kind, ending.exit_code) == ("our_signal", 143)
        assert ending.t_ns > subject.ready_ns
        assert await subject.stop() == ending == subject.ending()
        assert subject.pids() == []

    run(body)


def test_it_ends_before_it_is_ready(tmp_path: Path) -> None:
    async def body() -> None:
        order = launch(tmp_path, "print('one'); print('password=hunter2\\n'); raise SystemExit('no such host')")
        with pytest.raises(SubjectNotReady) as caught:
            await begin(order)
        message = str(caught.value)
        assert isinstance(caught.value, RunFault)
        assert message.startswith("subject: ended by itself with exit code 1 before it was ready; last lines of ")
        assert "no such host" in message
        assert "hunter2" not in message
        assert caught.value.ending is not None
        assert caught.value.ending.kind == "crash"
        assert leftovers(order.run_id) == []

    run(body)


def test_it_is_not_ready_in_time(tmp_path: Path) -> None:
    async def body() -> None:
        order = launch(tmp_path, "import time; time.sleep(60)")
        with pytest.raises(
            SubjectNotReady, match=r"not ready within 0.2 s; http://127.0.0.1:\d+/: .*it wrote nothing"
        ) as caught:
            await begin(order, ready=Ready(http="http://127.0.0.1:{port:web}/"), ready_timeout_s=0.2)
        assert caught.value.ending is None
        assert leftovers(order.run_id) == []

    run(body)


def test_without_a_sign_it_is_ready_when_it_rests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.subject.rest.REST_S", 0.2)

    async def body() -> None:
        script = (
            f"import time\nwhile time.process_time() < 0.5: pass\nopen({str(tmp_path / 'done')!r}, 'w')\ntime.sleep(60)"
        )
        subject = await begin(launch(tmp_path, script))
        assert (tmp_path / "done").exists()
        await subject.stop()

    run(body)


def test_one_that_never_rests_is_ready_when_it_has_lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.subject.rest.REST_S", 0.1)

    async def body() -> None:
        subject = await begin(launch(tmp_path, "while True: pass"), ready_timeout_s=1.0)
        assert subject.ending() is None
        await subject.stop()

    run(body)


def test_a_wrong_placeholder_starts_nothing(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(UsageError, match=r"subject.metrics: unknown placeholder \{prt\}"):
            await begin(launch(tmp_path, "pass"), metrics_url="http://127.0.0.1:{prt}/")
        assert not (tmp_path / "subject.log").exists()

    run(body)


def test_injected_directories_come_first(tmp_path: Path) -> None:
    order = launch(tmp_path, "pass", PYTHONPATH="/theirs")
    order.inject_dirs += [Path("/agent"), Path("/memray")]
    assert environment(order, Path("/k"))["PYTHONPATH"] == "/agent:/memray:/theirs"
    del order.env["PYTHONPATH"]
    assert environment(order, Path("/k"))["PYTHONPATH"] == "/agent:/memray"
    order.inject_dirs.clear()
    assert "PYTHONPATH" not in environment(order, Path("/k"))


def test_oom_kills_of_the_node(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    vmstat.write_text("nr_free_pages 7\noom_kill 12\n")
    assert node_oom_kills(vmstat) == 12
    vmstat.write_text("nr_free_pages 7\n")
    assert node_oom_kills(vmstat) is None
    assert node_oom_kills(tmp_path / "none") is None
