"""The process as the harness sees it, against a server that says it is a fake and misbehaves on demand.

Locust's monkey patches make a process of its own necessary for each; one well-behaved session serves many tests.
"""

from __future__ import annotations

import ast
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

import loadgen
from loadgen.verdicts import MAX_ATTEMPTS
from tests.unit.loadgen.loadgen_fake_api import FakeAPI, Reply, Seen, serve
from tests.unit.loadgen.loadgen_plans import phase, plan
from tests.unit.loadgen.loadgen_process import DEADLINE_S, Process

PHASE, WORKER, ATTEMPT, INTENDED, SENT, DONE, VERB, KIND, NAME, STATUS, ERROR, BYTES = range(12)


def behave(seen: Seen) -> Reply | None:
    """By the phase's name, with which the object's begins."""
    first = seen.attempt == 1
    match seen.name.partition("-")[0]:
        case "throttled" if first:
            return Reply(429, "TooManyRequests", "later", {"Retry-After": "0"})
        case "lost" if first:
            return Reply(0, keep=True)
        case "maybe" if first:
            return Reply(504, "Timeout", "who knows", {"Retry-After": "0"}, keep=True)
        case "down":
            return Reply(503, "ServiceUnavailable", "down", {"Retry-After": "0"})
        case "denied":
            return Reply(403, "Forbidden", f'secrets "{seen.name}" is forbidden')
        case "drip" if first:
            return Reply(drip=True)
        case "slow":
            return Reply(keep=True, pause_s=0.1)
    return None


@dataclass
class Finished:
    process: Process
    api: FakeAPI
    code: int


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """One session of many phases over https, with a client certificate and a hostile environment."""
    directory = tmp_path_factory.mktemp("session")
    ca, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    client = ca.issue_cert("client.test")
    client.cert_chain_pems[0].write_to_path(str(directory / "client.crt"))
    client.private_key_pem.write_to_path(str(directory / "client.key"))
    ca.cert_pem.write_to_path(str(directory / "ca.crt"))
    stranger.cert_pem.write_to_path(str(directory / "stranger.crt"))
    env = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), str(directory / "stranger.crt"))
    phases = [
        phase("plain", count=250, concurrency=8),
        *(phase(name) for name in ("throttled", "lost", "maybe", "down", "denied")),
        phase("slow", count=6, rate=50.0, concurrency=1),
        phase("steady", count=20, rate=100.0, concurrency=8),
        phase("none", count=0),
        phase("flip", action="flip", params={"labels": {"env": "prod"}}),
    ]
    with serve(behave, context) as api:
        document = plan(
            *phases,
            server=api.url,
            ca_file=str(directory / "ca.crt"),
            cert_file=str(directory / "client.crt"),
            key_file=str(directory / "client.key"),
        )
        with Process(document, directory, env) as process:
            process.ready()
            process.command("nonsense")
            process.command('{"run": "unknown"}')
            process.run(*(item["name"] for item in phases))
            process.command('{"run": "plain"}')
            process.until(lambda line: line["type"] == "error")
            process.command('{"stop": true}')
            yield Finished(process, api, process.finish())


def test_a_session_ends_well_and_quietly(session: Finished) -> None:
    assert session.code == 0
    assert session.process.stderr_path.read_text() == ""
    assert session.process.longest < 65536


def test_every_request_is_a_row_before_its_phase_has_ended(session: Finished) -> None:
    rows = session.process.rows("plain")
    assert sorted(row[NAME] for row in rows) == [f"plain-k4x7q-{index:05d}" for index in range(250)]
    assert {(row[ATTEMPT], row[VERB], row[KIND], row[STATUS], row[ERROR]) for row in rows} == {
        (1, "create", "Secret", 201, None)
    }
    assert {row[WORKER] for row in rows} == set(range(8))
    assert all(row[INTENDED] == row[SENT] <= row[DONE] for row in rows)
    sizes = {seen.name: int(seen.headers["Content-Length"]) for seen in session.api.seen}
    assert all(row[BYTES] == sizes[row[NAME]] for row in rows)
    ended = session.process.ended("plain")
    assert (ended["requested"], ended["done"], ended["failed"], ended["requested_per_s"]) == (250, 250, 0, None)
    started = next(line for line in session.process.lines if line.get("state") == "started")
    assert started["t_ns"] <= min(row[SENT] for row in rows)
    seconds = (max(row[DONE] for row in rows) - started["t_ns"]) / 1e9
    assert ended["achieved_per_s"] == pytest.approx(250 / seconds)


def test_workers_share_and_keep_connections(session: Finished) -> None:
    # 8 workers at most at a time; each lost, timed out or refused connection costs one more.
    assert session.api.connections <= 8 + 10


def test_too_many_requests_is_tried_again(session: Finished) -> None:
    rows = session.process.rows("throttled")
    assert sorted((row[ATTEMPT], row[STATUS]) for row in rows) == [(1, 429)] * 3 + [(2, 201)] * 3
    assert session.process.ended("throttled")["done"] == 3
    intended = {(row[NAME], row[INTENDED]) for row in rows}
    assert len(intended) == 3, "the second attempt of a request was intended when the first was"


@pytest.mark.parametrize(("name", "status"), [("lost", 0), ("maybe", 504)])
def test_a_create_that_was_carried_out_unseen_counts_as_done(session: Finished, name: str, status: int) -> None:
    outcomes = sorted((row[ATTEMPT], row[STATUS], row[ERROR] is None) for row in session.process.rows(name))
    assert outcomes == [(1, status, False)] * 3 + [(2, 409, True)] * 3
    assert (session.process.ended(name)["done"], session.process.ended(name)["failed"]) == (3, 0)


def test_retries_are_bounded(session: Finished) -> None:
    attempts = sorted(row[ATTEMPT] for row in session.process.rows("down"))
    assert attempts == sorted([*range(1, MAX_ATTEMPTS + 1)] * 3)
    assert session.process.ended("down")["failed"] == 3
    (told,) = session.process.errors("down")
    assert told.endswith(": 503 ServiceUnavailable: down")


def test_what_is_denied_is_not_tried_again_and_told_once(session: Finished) -> None:
    rows = session.process.rows("denied")
    assert {(row[ATTEMPT], row[STATUS]) for row in rows} == {(1, 403)}
    assert all(f'403 Forbidden: secrets "{row[NAME]}" is forbidden' == row[ERROR] for row in rows)
    (told,) = session.process.errors("denied")
    assert "403 Forbidden: secrets " in told


def test_an_answer_in_drops_meets_the_timeout(tmp_path: Path) -> None:
    with serve(behave) as api:
        document = plan(phase("drip", count=1), server=api.url)
        document["request_timeout_s"] = 2.0
        with Process(document, tmp_path) as process:
            process.ready()
            process.run("drip")
            process.command('{"stop": true}')
            assert process.finish() == 0
    first, second = process.rows("drip")
    assert (first[STATUS], first[ERROR]) == (0, "timeout: no complete answer within 2 s")
    assert (second[STATUS], second[ERROR]) == (201, None)


def test_an_open_model_drops_nothing_and_counts_from_the_intended_time(session: Finished) -> None:
    rows = session.process.rows("slow")
    started = next(line["t_ns"] for line in session.process.lines if line.get("phase") == "slow")
    assert [row[INTENDED] - started for row in rows] == [index * 20_000_000 for index in range(6)]
    # One worker and 0.1 s for each: the sixth is sent half a second after the first at the earliest, due after 0.1 s.
    assert rows[5][SENT] - rows[5][INTENDED] >= 400_000_000
    assert all(row[SENT] >= row[INTENDED] for row in rows)
    ended = session.process.ended("slow")
    assert ended["requested_per_s"] == 50.0
    assert ended["achieved_per_s"] == pytest.approx(6 / ((rows[5][SENT] - started) / 1e9 + 1 / 50), rel=1e-3)
    assert ended["achieved_per_s"] <= 6 / 0.52


def test_an_open_model_never_sends_early(session: Finished) -> None:
    rows = session.process.rows("steady")
    assert len(rows) == 20
    assert all(row[SENT] >= row[INTENDED] for row in rows)


def test_an_empty_phase_begins_and_ends(session: Finished) -> None:
    ended = session.process.ended("none")
    assert (ended["requested"], ended["done"], ended["achieved_per_s"]) == (0, 0, 0.0)


def test_a_flip_patches_each_object_once(session: Finished) -> None:
    flips = [seen for seen in session.api.seen if seen.method == "PATCH"]
    assert sorted(seen.path.rpartition("/")[2] for seen in flips) == [f"flip-k4x7q-{i:05d}" for i in range(3)]
    assert {seen.headers["Content-Type"] for seen in flips} == {"application/merge-patch+json"}
    assert {row[VERB] for row in session.process.rows("flip")} == {"patch"}


def test_wrong_commands_are_told_and_survived(session: Finished) -> None:
    assert session.process.errors("unknown command") == ["unknown command 'nonsense'"]
    (unknown, again) = session.process.errors("phase ")
    assert unknown.startswith("phase 'unknown' is not in the plan (plain, ")
    assert again == "phase 'plain' has already run"


def test_it_tells_of_itself(session: Finished) -> None:
    lines = [line for line in session.process.lines if line["type"] == "self"]
    cpu = [line["cpu_s"] for line in lines]
    assert cpu == sorted(cpu)
    assert cpu[-1] > cpu[0]
    assert all(line["rss_bytes"] > 10_000_000 for line in lines)
    assert all(lag is None or lag >= 0 for lag in (line["loop_lag_s"] for line in lines))


def test_its_cpu_is_told_at_both_borders_of_each_phase(session: Finished) -> None:
    lines = session.process.lines
    for index, line in enumerate(lines):
        if line["type"] == "phase":
            before = [other for other in lines[:index] if other["type"] == "self"]
            assert before[-1]["loop_lag_s"] is None
            assert abs(before[-1]["t_ns"] - line["t_ns"]) < 1_000_000_000


def test_a_server_of_another_ca_is_refused_without_retries(tmp_path: Path) -> None:
    ca, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger.issue_cert("127.0.0.1").configure_cert(context)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.crt"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.crt"))
    with serve(behave, context) as api:
        document = plan(phase(), server=api.url, ca_file=str(tmp_path / "ca.crt"))
        with Process(document, tmp_path, {"SSL_CERT_FILE": str(tmp_path / "stranger.crt")}) as process:
            process.ready()
            process.run("create-Secret")
            process.stdin.close()
            assert process.finish() == 0
    assert not api.seen
    assert {(row[ATTEMPT], row[STATUS]) for row in process.rows("create-Secret")} == {(1, 0)}
    (told,) = process.errors("create-Secret")
    assert "TLS: the server's certificate is not of the plan's CA" in told


def stop_by_signal(process: Process) -> None:
    process.popen.send_signal(signal.SIGTERM)


def stop_by_end_of_file(process: Process) -> None:
    process.stdin.close()


def stop_by_command(process: Process) -> None:
    process.command('{"stop": true}')


@pytest.mark.parametrize("stop", [stop_by_signal, stop_by_end_of_file, stop_by_command])
def test_a_phase_that_is_stopped_ends_with_what_is_done(stop: Callable[[Process], None], tmp_path: Path) -> None:
    never = threading.Event()

    def half(seen: Seen) -> Reply | None:
        return None if int(seen.name[-5:]) < 150 else Reply(delay=never)

    with serve(half) as api, Process(plan(phase(count=1000, concurrency=4), server=api.url), tmp_path) as process:
        process.ready()
        process.command('{"run": "create-Secret"}')
        done: set[str] = set()

        def all_done(line: dict[str, Any]) -> bool:  # four send at once: the last may be done before those before it
            done.update(row[NAME] for row in line.get("rows", ()) if line["type"] == "requests")
            return len(done) == 150

        process.until(all_done)
        stop(process)
        assert process.finish() == 0
        ended = process.ended("create-Secret")
        assert (ended["requested"], ended["done"], ended["failed"]) == (1000, 150, 0)
        assert len(process.rows("create-Secret")) == 150
        assert process.stderr_path.read_text() == ""


def test_a_phase_ends_when_its_time_is_over(tmp_path: Path) -> None:
    never = threading.Event()
    flip = phase("flip", action="flip", params={"labels": {"a": "b"}})

    def answer_patches_only(seen: Seen) -> Reply | None:
        return Reply(delay=never) if seen.method == "POST" else None

    document = plan(phase(timeout_s=0.5), flip)
    with serve(answer_patches_only) as api, Process(document | {"server": api.url}, tmp_path) as process:
        process.ready()
        process.run("create-Secret", "flip")
        process.stdin.close()
        assert process.finish() == 0
    ended = process.ended("create-Secret")
    assert (ended["requested"], ended["done"], ended["failed"]) == (3, 0, 0)
    assert process.ended("flip")["done"] == 3, "connections cut off are given back to the pool"


def test_a_request_cut_off_while_it_is_sent_leaves_its_connection_to_others(tmp_path: Path) -> None:
    large: dict[str, Any] = {"params": {"size": 12_000_000}, "path": "/deaf/secrets"}
    flip = phase("flip", action="flip", params={"labels": {"a": "b"}}, concurrency=1)
    with serve(behave) as api:
        document = plan(phase(count=1, concurrency=1, timeout_s=6, **large), flip, server=api.url)
        document["request_timeout_s"] = 0.5
        with Process(document, tmp_path) as process:
            process.ready()
            process.run("create-Secret", "flip")
            process.stdin.close()
            assert process.finish() == 0
    (first, *_) = process.rows("create-Secret")
    assert (first[STATUS], first[ERROR]) == (0, "timeout: no complete answer within 0.5 s")
    assert process.ended("flip")["done"] == 3


def test_it_leaves_quietly_when_nobody_reads(tmp_path: Path) -> None:
    with serve(behave) as api, Process(plan(phase(count=10**6), server=api.url), tmp_path) as process:
        process.ready()
        process.command('{"run": "create-Secret"}')
        process.until(lambda line: line["type"] == "requests")
        process.stdout.close()
        assert process.popen.wait(DEADLINE_S) == 0
        assert process.stderr_path.read_text() == ""


def test_wrong_use_ends_with_2_and_one_line(tmp_path: Path) -> None:
    bare = subprocess.run([sys.executable, "-m", "loadgen"], capture_output=True, text=True, timeout=DEADLINE_S)
    assert (bare.returncode, bare.stdout, bare.stderr) == (
        2,
        "",
        "usage: python -m loadgen [--join HOST:PORT] PLAN.json | --serve HOST:PORT\n",
    )
    document = plan(phase(), server="https://127.0.0.1:1", ca_file=str(tmp_path / "absent.crt"))
    with Process(document, tmp_path) as process:
        assert process.finish() == 2
    (line,) = process.lines
    assert (line["type"], line["fatal"]) == ("error", True)
    assert line["message"] == f"plan.ca_file: {tmp_path / 'absent.crt'} cannot be used: No such file or directory"
    assert process.stderr_path.read_text() == f"loadgen: ERROR: {line['message']}\n"


def test_it_never_imports_the_harness() -> None:
    sources = list(Path(loadgen.__file__).parent.glob("*.py"))
    imported = [
        name
        for source in sources
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    ]
    assert "locust" in imported
    assert not [name for name in imported if name and name.split(".")[0] == "harness"]
