"""`harness annotate` against a fake Grafana: an HTTP server of this file that keeps annotations as the documented API does
(`GET`, `POST`, `DELETE /api/annotations`, bearer tokens). No real Grafana is in any package registry.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.core.errors import EnvironmentFault, UsageError
from harness.report import annotations as spans
from harness.web.grafana import Grafana
from tests import records

TOKEN = "glsa_secret_123"


class _Fake(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.kept: dict[int, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.answer: tuple[int, bytes] | None = None
        self.prefix = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.prefix}"


class _Handler(BaseHTTPRequestHandler):
    server: _Fake

    def _do(self) -> None:
        fake, parts = self.server, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fake.asked.append(f"{self.command} {parts.path}")
        if fake.answer is not None:
            return self._say(*fake.answer)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._say(401, b'{"message": "Invalid API key"}')
        path = parts.path.removeprefix(fake.prefix)
        if self.command == "GET" and path == "/api/annotations":
            query = parse_qs(parts.query)
            wanted, most = set(query["tags"]), int(query["limit"][0])
            found = [each | {"id": number} for number, each in fake.kept.items() if wanted <= set(each["tags"])]
            return self._say(200, json.dumps(found[:most]).encode())
        if self.command == "POST" and path == "/api/annotations":
            made = json.loads(body)
            assert set(made) == {"dashboardUID", "time", "timeEnd", "tags", "text"}
            number = len(fake.asked)
            fake.kept[number] = made
            return self._say(200, json.dumps({"message": "Annotation added", "id": number}).encode())
        if self.command == "DELETE" and path.startswith("/api/annotations/"):
            del fake.kept[int(path.rpartition("/")[2])]
            return self._say(200, b'{"message": "Annotation deleted"}')
        return self._say(404, b'{"message": "Not found"}')

    do_GET = do_POST = do_DELETE = _do  # noqa: N815 # the names that http.server looks for

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name in the base class
        pass


@pytest.fixture
def fake() -> Iterator[_Fake]:
    server = _Fake()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def _annotate(record: Path, fake: _Fake, *options: str, token: str | None = TOKEN) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "HOME": str(record.parent)}
    command = [sys.executable, "-m", "harness.cli.main", "annotate", str(record), "--grafana", fake.url, *options]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=60,
        env=env | ({} if token is None else {"GRAFANA_TOKEN": token}),
    )


def test_phases_kills_and_verdict_come_with_links_back_and_only_once(fake: _Fake, tmp_path: Path) -> None:
    record, _ = records.oom_killed(tmp_path / "run")
    with (record.path / "events.jsonl").open("a") as events:
        events.write(
            json.dumps({"t_ns": records.ns(12.4), "phase": "create-Secret", "type": "oom_kill", "kills": 1}) + "\n"
        )
    fake.prefix = "/grafana"
    fake.kept[900] = {"time": 1, "timeEnd": 1, "text": "of somebody else", "tags": ["harness", "run:another"]}
    fake.kept[901] = {"time": 1, "timeEnd": 1, "text": "no longer true", "tags": list(spans.run_tags(record))}
    before = {path: path.read_bytes() for path in record.path.rglob("*") if path.is_file()}

    done = _annotate(record.path, fake, "--serve", "http://127.0.0.1:8765/")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "7 of 7 annotations added, 1 removed"
    assert done.stdout.splitlines()[1].startswith(
        f"{fake.url}/d/harness-run?var-scenario=smoke&var-run={record.run.run_id}&from="
    )
    kept = [each for number, each in fake.kept.items() if number < 900]
    texts = [each["text"] for each in kept]
    assert [text.partition("</b>")[0] for text in texts] == [
        "<b>start", "<b>idle", "<b>create-Secret", "<b>OOM kill", "<b>subject ended", "<b>end", "<b>PASSED",
    ]  # fmt: skip
    assert "2,230/4,000 at 297/s" in texts[2]
    assert all(f'<a href="http://127.0.0.1:8765/runs/{record.run.run_id}/">' in text for text in texts)
    began = record.run.started_at.timestamp() * 1000
    assert (kept[2]["time"] - began, kept[2]["timeEnd"] - began) == (5000, 12500)
    assert {"harness", f"run:{record.run.run_id}", "scenario:smoke", "arm:oom", "kill"} == set(kept[3]["tags"])
    assert {each["dashboardUID"] for each in kept} == {"harness-run"}

    again = _annotate(record.path, fake, "--serve", "http://127.0.0.1:8765/")
    assert again.stdout.splitlines()[0] == "0 of 7 annotations added, 0 removed"
    assert 900 in fake.kept
    assert {path: path.read_bytes() for path in record.path.rglob("*") if path.is_file()} == before, (
        "nothing of it in the record"
    )
    assert TOKEN not in done.stdout + done.stderr


def test_text_of_others_is_text_and_bounded(tmp_path: Path) -> None:
    record, verdict = records.oom_killed(tmp_path / "run")
    verdict.reasons = ["<script>alert(1)</script>" * 100]
    text = spans.of(record, verdict)[-1].text
    assert "<script" not in text
    assert text.startswith("<b>PASSED</b> &lt;script&gt;")
    assert len(text) < 1000


def test_the_token_comes_from_file_or_environment_and_what_is_wrong_is_one_line(fake: _Fake, tmp_path: Path) -> None:
    record, _ = records.passing(tmp_path / "run")
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert _annotate(record.path, fake, "--token-file", str(file), token=None).returncode == 0
    for options, token, told in (
        ((), None, "GRAFANA_TOKEN: there is no token"), ((), "wrong", f"{fake.url}: it refuses the token (status 401)"),
        (("--token-file", "/nowhere"), TOKEN, "/nowhere: the token cannot be read"),
        ((), "a b", "GRAFANA_TOKEN: there is no token"),
    ):  # fmt: skip
        done = _annotate(record.path, fake, *options, token=token)
        assert done.returncode in (2, 4)
        assert told in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert "wrong" not in done.stderr.replace("is wrong", "")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, b"database is locked"), "status 500: database is locked"), ((200, b"<html>"), "does not answer as a Grafana does"),
        ((200, b'{"a": 1}'), "does not answer as a Grafana does"), ((302, b""), "with status 302"),
        ((403, b"{}"), "refuses the token"), ((200, b'[{"id": 1}]'), "does not answer as a Grafana does"),
    ],
)  # fmt: skip
def test_a_grafana_that_cannot_is_told_with_its_own_words(fake: _Fake, answer: tuple[int, bytes], told: str) -> None:
    fake.answer = answer
    with pytest.raises(EnvironmentFault, match=told):
        Grafana(fake.url, TOKEN).put([], ["harness"], "harness-run")
    assert len(fake.asked) == 1


def test_addresses_that_are_none_and_nobody_there(fake: _Fake) -> None:
    for url in ("127.0.0.1:3000", "ftp://127.0.0.1", "http://", "http://127.0.0.1:99999"):
        with pytest.raises(UsageError, match="no address of a Grafana"):
            Grafana(url, TOKEN)
    with pytest.raises(UsageError, match="holds a user or password") as secret:
        Grafana("http://admin:geheim@127.0.0.1:3000", TOKEN)
    assert "geheim" not in str(secret.value)
    with pytest.raises(EnvironmentFault, match=r"^http://127\.0\.0\.1:1: no answer: .*refused"):
        Grafana("http://127.0.0.1:1", TOKEN).found(["harness"])
