"""Work that was not complete: found by the benchmarks, told in the last line, exit code 3."""

from __future__ import annotations

import asyncio
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import RunFault
from harness.core.handles import Progress
from tests.bench import creates, overhead
from tests.bench.__main__ import main
from tests.bench.rounds import Rounds
from tests.bench.senders import BareLoop, Sent, measure
from tests.bench.sheet import Sheet


class Scripted:
    """A fake benchmark: measures nothing, writes one figure a round and, in round 2, what it is told to."""

    title = "a fake"
    method = "none"
    rounds = 3
    share = 1.0
    headline = "figure"

    def __init__(self, name: str = "scripted", *, problem: str | None = None, fault: RunFault | None = None) -> None:
        self.name = name
        self._problem = problem
        self._fault = fault

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        for number in rounds:
            if number == 2 and self._fault is not None:
                raise self._fault
            if number == 2 and self._problem is not None:
                sheet.problem(f"round {number}: {self._problem}")
                continue
            sheet.add("figure", "seconds", float(number))


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the benchmarks' own directories are made."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line on stdout."""
    return capsys.readouterr().out.splitlines()[-1]


def test_complete_work_exits_0_with_a_summary_and_leaves_nothing(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], [Scripted()]) == 0
    assert list(work.iterdir()) == []
    line = last_line(capsys)
    assert line.startswith("bench: complete in ")
    assert line.endswith(": figure 2 s")


def test_incomplete_work_exits_3_says_so_and_keeps_the_logs(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], [Scripted("fine"), Scripted(problem="2,999 of 3,000 created")]) == 3
    shown = capsys.readouterr()
    (kept,) = work.iterdir()
    assert f"kept in {kept}" in shown.err
    line = shown.out.splitlines()[-1]
    assert line.startswith("bench: NOT COMPLETE after ")
    assert line.endswith("exit code 3: scripted: round 2: 2,999 of 3,000 created")


def test_a_round_that_breaks_down_is_incomplete_work_and_keeps_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json"], [Scripted(fault=RunFault("the API server is gone"))]) == 3
    shown = json.loads(capsys.readouterr().out)
    assert (shown["complete"], shown["exit_code"]) == (False, 3)
    assert shown["problems"] == ["scripted: round 2: the API server is gone"]
    (benchmark,) = shown["benchmarks"]
    assert benchmark["figures"][0]["values"] == [1.0]
    assert (benchmark["rounds"], benchmark["rounds_wanted"]) == (2, 3)


def test_a_benchmark_without_a_figure_is_incomplete(capsys: pytest.CaptureFixture[str]) -> None:
    class Empty(Scripted):
        async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
            pass

    assert main([], [Empty()]) == 3
    assert "it measured nothing" in last_line(capsys)


def sent(done: int, failed: int = 0) -> Sent:
    return Sent(done, failed, per_s=1.0, cpu_s=1.0, peak_rss_bytes=1, harness_cpu_s=0.0, error=None)


@pytest.mark.parametrize(
    ("what", "found", "complete"),
    [
        (sent(10), 10, True),
        (sent(9, failed=1), 9, False),
        (sent(9), 10, False),  # cut off by its time
        (sent(10), 9, False),  # it says so, but the API does not have them
    ],
)
def test_creates_count_only_if_the_api_has_them_all(what: Sent, found: int, complete: bool) -> None:
    assert (creates.problem(what, found, 10) is None) is complete


def test_a_run_counts_only_if_it_passed_and_told_its_overhead() -> None:
    told = {"overhead.cpu": {"value": 1.0}, "overhead.rss": {"value": 2.0}}
    shown = {"run_id": "r", "verdict": "passed", "reasons": [], "results": told}
    assert overhead.problem(shown) is None
    failed = shown | {"verdict": "invalid", "reasons": ["the load fell short"]}
    assert overhead.problem(failed) == "run r ended invalid: the load fell short"
    untold = shown | {"results": told | {"overhead.rss": {"value": None, "reason": "host was not on"}}}
    assert overhead.problem(untold) == "run r: overhead.rss: host was not on"


@contextmanager
def refusing_api() -> Iterator[str]:
    """A fake API server that refuses every object whose name ends in 3; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(403 if body["metadata"]["name"].endswith("3") else 201)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"no")

        def do_PATCH(self) -> None:
            labels = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["metadata"]["labels"]
            assert self.headers["Content-Type"] == "application/merge-patch+json"
            self.send_response(200 if labels == {"env": "x"} and not self.path.endswith("3") else 404)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"no")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_yardstick_does_not_count_what_was_refused(tmp_path: Path) -> None:
    with refusing_api() as url:
        phase = {
            "name": "create-Secret",
            "action": "create",
            "api_version": "v1",
            "object_kind": "Secret",
            "path": "/api/v1/namespaces/n/secrets",
            "names": "s-{i:05d}",
            "count": 20,
            "concurrency": 4,
            "timeout_s": 30,
            "params": {"size": [10, 20]},
        }
        plan: dict[str, Any] = {"server": url, "ca_file": None, "seed": 1, "labels": {}, "phases": [phase]}
        what = asyncio.run(measure(BareLoop, plan, tmp_path))
    assert (what.done, what.failed, what.error) == (18, 2, "403: no")
    assert what.per_s > 0
    assert what.peak_rss_bytes > 2**20


def test_the_yardstick_flips_what_it_was_told_to_after_the_phases_before(tmp_path: Path) -> None:
    with refusing_api() as url:
        about = {
            "path": "/c",
            "names": "c-{i:05d}",
            "concurrency": 2,
            "timeout_s": 30,
            "object_kind": "Cluster",
            "api_version": "g/v",
        }
        create = about | {"name": "create", "action": "create", "count": 3, "params": {}}
        flip = about | {"name": "flip", "action": "flip", "count": 10, "params": {"labels": {"env": "x"}}}
        plan: dict[str, Any] = {
            "server": url, "ca_file": None, "seed": 1, "labels": {}, "namespace": "n", "phases": [create, flip],
        }  # fmt: skip
        what = asyncio.run(measure(BareLoop, plan, tmp_path))
        plan["phases"] = [create | {"count": 4}, flip]
        place = tmp_path / "again"
        place.mkdir()
        with pytest.raises(RunFault, match="3 of 4 of phase create were done: 403: no"):
            asyncio.run(measure(BareLoop, plan, place))
    assert (what.done, what.failed, what.error) == (9, 1, "404: no")
