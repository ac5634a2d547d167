"""Putting profilers into commands, and decoding what they send."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from harness.collectors import fold, ingest, memray_pprof, pprof, pprof_write, python_command
from harness.collectors.ingest import Upload
from harness.collectors.memray import MemrayCollector
from harness.collectors.memray_report import filesystem_of
from harness.collectors.pyroscope import SETTINGS_ENV, PyroscopeCollector
from harness.collectors.registry import NAMES, create
from harness.core.errors import UsageError
from harness.core.handles import Progress, PythonRuntime
from tests.collecting import ListSink, launch

PYTHON = Path("/opt/env/bin/python")
MEMRAY = ("-m", "memray", "run", "-o", "out")


def _under(*command: str) -> list[str]:
    return python_command.parse(command, executable=PYTHON).under(*MEMRAY)


def test_modules_scripts_and_code_go_under_memray() -> None:
    assert _under("python3.11", "-m", "pkg.app", "--flag", "-m", "x") == [
        "python3.11",
        *MEMRAY,
        "-m",
        "pkg.app",
        "--flag",
        "-m",
        "x",
    ]
    assert _under("/opt/env/bin/python", "run.py", "-v") == ["/opt/env/bin/python", *MEMRAY, "run.py", "-v"]
    assert _under("python", "-c", "print(1)", "a") == ["python", *MEMRAY, "-c", "print(1)", "a"]
    assert _under("python", "-uBm", "pkg") == ["python", "-u", "-B", *MEMRAY, "-m", "pkg"]
    assert _under("python", "-X", "dev", "-Wignore", "-u", "-mpkg", "x") == [
        "python",
        "-Xdev",
        "-Wignore",
        "-u",
        *MEMRAY,
        "-m",
        "pkg",
        "x",
    ]


def test_console_scripts_go_under_memray(tmp_path: Path) -> None:
    def script(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o755)
        return str(path)

    for text in (
        "#!/opt/env/bin/python\n",
        "#!/usr/bin/env python3\n",
        "#!/bin/sh\n'''exec' /long/bin/python \"$0\" \"$@\"\n",
    ):
        path = script("app", text)
        assert _under(path, "--x") == [str(PYTHON), *MEMRAY, path, "--x"]
    found = python_command.parse(["app", "--x"], executable=PYTHON, search_path=str(tmp_path))
    assert found.target == str(tmp_path / "app")
    with pytest.raises(UsageError, match="is not a Python command"):
        _under(script("shell", "#!/bin/sh\necho\n"))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["./manager", "--x"], "is not a Python command"),
        (["python"], "names no program"),
        (["python", "-"], "standard input"),
        (["python", "-I", "-m", "x"], "-I makes Python ignore"),
        (["python", "-m"], "-m lacks a value"),
        (["python", "-V"], "-V is not one"),
        ([], "is empty"),
    ],
)
def test_commands_that_cannot_be_profiled(command: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        python_command.parse(command, executable=PYTHON)


def test_profilers_refuse_programs_that_they_cannot_profile(tmp_path: Path) -> None:
    (continuous, memray) = create([], memray="launch", pyroscope="on")
    (attached,) = create([], memray="attach")
    with pytest.raises(UsageError, match=r"\./manager: .*Python programs only"):
        asyncio.run(memray.prepare(launch(["./manager"], ListSink(), tmp_path, runtime="go")))
    with pytest.raises(UsageError, match=r"\./manager: .*Python programs only"):
        asyncio.run(attached.prepare(launch(["./manager"], ListSink(), tmp_path, runtime="go")))
    with pytest.raises(UsageError, match=r"\./manager: only Python and Go programs can be profiled"):
        asyncio.run(continuous.prepare(launch(["./manager"], ListSink(), tmp_path, runtime="other")))


def test_memray_rewrites_the_launch_and_warns_of_memory_file_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = tmp_path / "side"

    async def ensure(_python: PythonRuntime, _progress: Progress) -> Path:
        return side

    monkeypatch.setattr("harness.toolchain.inject.ensure", ensure)
    monkeypatch.setattr("harness.collectors.memray_report.filesystem_of", lambda _: "tmpfs")
    sink = ListSink()
    plan = launch(["python", "-m", "pkg", "--x"], sink, tmp_path)
    (collector,) = create([], memray="launch")
    assert isinstance(collector, MemrayCollector)
    assert collector.heavy
    asyncio.run(collector.prepare(plan))
    capture = str(tmp_path / "profiles" / "memray-start-0.bin")
    assert plan.command == [
        "python",
        "-m",
        "memray",
        "run",
        "--quiet",
        "--force",
        "--output",
        capture,
        "-m",
        "pkg",
        "--x",
    ]
    assert plan.inject_dirs == [side]
    assert "charged to the subject's memory limit" in sink.warnings[0]


def test_file_system_of_a_path(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 1 254:0 / / rw,relatime - ext4 /dev/root rw\n"
        "22 21 0:20 / /dev/shm rw shared:1 - tmpfs tmpfs rw\n"
        r"23 21 0:21 / /mnt/a\040b rw master:1 - xfs /dev/sdb rw" + "\n"
    )
    assert filesystem_of(Path("/dev/shm/run/profiles"), mounts) == "tmpfs"
    assert filesystem_of(Path("/home/someone"), mounts) == "ext4"
    assert filesystem_of(Path("/mnt/a b/c"), mounts) == "xfs"
    assert filesystem_of(Path("/"), tmp_path / "missing") is None


def test_registry_knows_all_and_suggests() -> None:
    last = [collector.name for collector in create(["memory"], memray="launch", pyroscope="on")]
    assert last == ["memory", "pyroscope", "memray"], "taken off in reverse: what memray captured is sent afterwards"
    assert [collector.name for collector in create(NAMES)] == list(NAMES)
    assert [c.name for c in create(["memory", "oom", "memory"], memray="launch")] == ["memory", "oom", "memray"]
    assert [c.heavy for c in create([], pyroscope="on")] == [False]
    assert [c.heavy for c in create([], pyroscope="on", pyroscope_memory=True)] == [True]
    with pytest.raises(UsageError, match="there is no collector 'memry'; did you mean memray"):
        create(["memry"])


# -- profiles: messages are written here byte by byte, by the format's description --


def _varint(value: int) -> bytes:
    out = b""
    value &= (1 << 64) - 1
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _message(field: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _profile() -> bytes:
    strings = ["", "cpu", "nanoseconds", "main", "app.py", "hot;path", "samples", "count", "inlined"]
    return b"".join(
        [
            _message(1, _number(1, 6), _number(2, 7)),
            _message(1, _number(1, 1), _number(2, 2)),
            _message(
                2, _message(1, _varint(2), _varint(1)), _message(2, _varint(3), _varint(-30))
            ),  # packed, leaf first
            _message(2, _number(1, 2), _number(1, 1), _number(2, 5), _number(2, 80)),  # not packed
            _message(2, _number(1, 1), _number(2, 1), _number(2, 7)),
            _message(4, _number(1, 1), _number(3, 4096), _message(4, _number(1, 1), _number(2, 10))),
            _message(4, _number(1, 2), _message(4, _number(1, 3)), _message(4, _number(1, 2))),
            _message(5, _number(1, 1), _number(2, 3), _number(4, 4)),
            _message(5, _number(1, 2), _number(2, 5)),
            _message(5, _number(1, 3), _number(2, 8)),
            *(_message(6, text.encode()) for text in strings),
            _number(9, 1_700_000_000_000_000_000),
            _message(11, _number(1, 1), _number(2, 2)),
        ]
    )


def test_profile_is_decoded_and_folded() -> None:
    for raw in (_profile(), gzip.compress(_profile())):
        profile = pprof.decode(raw)
        assert profile.types == [("samples", "count"), ("cpu", "nanoseconds")]
        assert profile.folded("cpu") == {"main (app.py);hot:path;inlined": 50, "main (app.py)": 7}
        assert profile.folded("samples")["main (app.py);hot:path;inlined"] == 8
        assert profile.folded("inuse_space") == {}


@pytest.mark.parametrize(
    "raw",
    [b"\x00\x00", b"\x0a\xff", b"\x0b", b"\x1f\x8bbroken", _message(1, _number(1, 99)), _number(2, 5), b"\xff" * 20],
)
def test_what_is_no_profile_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        pprof.decode(raw)


def _push(raw: bytes) -> bytes:
    name = _message(1, _message(1, b"__name__"), _message(2, b"process_cpu"))
    service = _message(1, _message(1, b"service_name"), _message(2, b"svc"))
    return _message(1, name, service, _message(2, _message(1, raw), _message(2, b"an-id")))


def test_ingest_takes_every_way_in() -> None:
    raw = gzip.compress(_profile())
    taken: list[Upload] = []

    async def scenario() -> list[tuple[int, bytes]]:
        server = ingest.IngestServer(taken.append)
        await server.start()
        answers = []
        push, older = (
            f"{server.url}/push.v1.PusherService/Push",
            f"{server.url}/ingest?name=svc%7Brun_id%3Dr1%2Carm%3Dbase%7D",
        )
        sample = {"rawProfile": base64.b64encode(raw).decode(), "ID": "x"}
        pushed = {"series": [{"labels": [{"name": "__name__", "value": "memory"}], "samples": [sample]}]}
        form = aiohttp.FormData()
        form.add_field("profile", raw, filename="profile.pprof")
        proto, as_json = {"Content-Type": "application/proto"}, {"Content-Type": "application/json"}
        async with aiohttp.ClientSession(trust_env=False) as session:
            for url, data, headers in (
                (push, _push(raw), proto),
                (push, gzip.compress(_push(raw)), {**proto, "Content-Encoding": "gzip"}),
                (push, json.dumps(pushed).encode(), as_json),
                (older, form, {}),
                (older + "&format=pprof", raw, {}),
                (push, b"\x0b\x0b", proto),
                (push, b'{"nothing": 1}', as_json),
                (f"{server.url}/ingest", raw, {}),
            ):
                async with session.post(url, data=data, headers=headers) as response:
                    answers.append((response.status, await response.read()))
        await server.stop()
        await server.stop()
        return answers

    answers = asyncio.run(scenario())
    assert [status for status, _ in answers] == [200] * 5 + [400] * 3
    assert [body for _, body in answers[:3]] == [b"", b"", b"{}"]
    assert [upload.raw for upload in taken] == [raw] * 5
    assert [upload.labels["__name__"] for upload in taken] == ["process_cpu", "process_cpu", "memory", "svc", "svc"]
    assert taken[0].labels["service_name"] == "svc"
    assert taken[3].labels == {"__name__": "svc", "run_id": "r1", "arm": "base"}


def test_pyroscope_injects_keeps_and_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ensure(_python: PythonRuntime, _progress: Progress) -> Path:
        return tmp_path / "side"

    monkeypatch.setattr("harness.toolchain.inject.ensure", ensure)
    sink = ListSink()
    (collector,) = create([], pyroscope="on")
    assert isinstance(collector, PyroscopeCollector)
    plan = launch(["python", "-m", "pkg"], sink, tmp_path)
    plan.labels = {"scenario": "label-flip", "arm-name": "base"}
    plan.env["NO_PROXY"] = "example.com"

    async def scenario() -> dict[str, object]:
        await collector.prepare(plan)
        settings: dict[str, object] = json.loads(plan.env[SETTINGS_ENV])
        async with aiohttp.ClientSession(trust_env=False) as session:
            url = f"{settings['server_address']}/push.v1.PusherService/Push"
            for body in (_profile(), b"garbage"):
                async with session.post(
                    url, data=_push(body), headers={"Content-Type": "application/proto"}
                ) as response:
                    assert response.status == 200
        await collector.detach()
        await collector.detach()
        return settings

    settings = asyncio.run(scenario())
    assert settings["application_name"] == "label-flip"
    assert settings["tags"] == {"scenario": "label-flip", "arm_name": "base", "run_id": plan.run_id}
    assert settings["mem_enabled"] is False
    assert settings["flush_at_exit"] is True
    assert plan.env["NO_PROXY"] == "example.com,127.0.0.1"
    assert len(plan.inject_dirs) == 2
    assert [event["file"] for event in sink.of("profile")] == [
        f"profiles/pyroscope-process_cpu-000{i}.pprof" for i in range(2)
    ]
    assert (tmp_path / "profiles" / "cpu.folded").read_text() == "main (app.py);hot:path;inlined 50\nmain (app.py) 7\n"
    assert len(sink.warnings) == 1
    assert "pyroscope-process_cpu-0001.pprof: not a" in sink.warnings[0]


def test_profiles_are_passed_on_to_a_server_with_the_phase(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ensure(_python: PythonRuntime, _progress: Progress) -> Path:
        return tmp_path / "side"

    monkeypatch.setattr("harness.toolchain.inject.ensure", ensure)
    sink, taken = ListSink(), list[Upload]()
    plan = launch(["python", "-m", "pkg"], sink, tmp_path)
    plan.labels = {"scenario": "label-flip", "arm": "base", "commit": "abc", "empty": ""}

    async def scenario() -> str:
        server = ingest.IngestServer(taken.append)
        await server.start()
        (collector,) = create([], pyroscope=server.url.replace("//", "//somebody:s3cret@"))
        await collector.prepare(plan)
        await collector.phase_started("create-Secret")
        url = json.loads(plan.env[SETTINGS_ENV])["server_address"]
        assert url != server.url, "the subject talks to the harness only"
        async with aiohttp.ClientSession(trust_env=False) as session:
            headers = {"Content-Type": "application/proto"}
            async with session.post(
                f"{url}/push.v1.PusherService/Push", data=_push(_profile()), headers=headers
            ) as response:
                assert response.status == 200
        await collector.detach()
        await server.stop()
        return server.url

    address = asyncio.run(scenario())
    (upload,) = taken
    assert upload.labels == {"__name__": "process_cpu", "service_name": "svc", "phase": "create-Secret"}
    assert upload.raw == _profile()
    assert sink.warnings == []
    (link,) = sink.of("pyroscope")
    assert link["server"] == address
    kind = "process_cpu:cpu:nanoseconds:cpu:nanoseconds"
    assert link["links"][kind].startswith(f"{address}/?query=process_cpu%3Acpu%3Ananoseconds")
    assert plan.run_id in link["links"][kind]
    assert "s3cret" not in json.dumps(sink.events)
    assert (tmp_path / "profiles" / "cpu.folded").exists(), "the record has them too"


def test_a_server_that_does_not_answer_or_refuses_is_one_line_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ensure(_python: PythonRuntime, _progress: Progress) -> Path:
        return tmp_path / "side"

    monkeypatch.setattr("harness.toolchain.inject.ensure", ensure)
    sink = ListSink()
    with socket.socket() as nobody:  # bound and not listening: connections are refused
        nobody.bind(("127.0.0.1", 0))
        url = f"http://somebody:s3cret@127.0.0.1:{nobody.getsockname()[1]}"
        (collector,) = create([], pyroscope=url)
        assert isinstance(collector, PyroscopeCollector)
        plan = launch(["python", "-m", "pkg"], sink, tmp_path)

        async def scenario() -> None:
            await collector.prepare(plan)
            for _ in range(3):
                collector._take(Upload({"__name__": "process_cpu"}, _profile()))
            await collector.detach()

        asyncio.run(scenario())
    silent, lost = sink.warnings
    assert "does not answer: its profiles will be lost" in silent
    assert "a profile could not be sent" in lost
    assert "s3cret" not in json.dumps(sink.events)


# -- what is written --


def test_what_is_written_reads_the_same() -> None:
    stack = (("leaf", "a.py", 3), ("main", "a.py", 9))
    types = [("inuse_objects", "count"), ("inuse_space", "bytes")]
    raw = pprof_write.encode(types, [(stack, [2, 300]), (stack[1:], [1, 2**40])], period=("space", "bytes"), time_ns=1)
    profile = pprof.decode(raw)
    assert (profile.types, profile.period) == (types, ("space", "bytes"))
    assert profile.folded("inuse_space") == {"main (a.py);leaf (a.py)": 300, "main (a.py)": 2**40}
    assert profile.folded("inuse_objects") == {"main (a.py);leaf (a.py)": 2, "main (a.py)": 1}


def test_a_profile_with_fewer_sample_types_keeps_their_values() -> None:
    whole = pprof.decode(_profile())
    fewer = pprof.decode(pprof_write.select(gzip.compress(_profile()), ["cpu"]))
    assert fewer.types == [("cpu", "nanoseconds")]
    assert fewer.folded("cpu") == whole.folded("cpu")
    assert fewer.folded("samples") == {}
    with pytest.raises(ValueError, match="has no inuse_space"):
        pprof_write.select(_profile(), ["inuse_space"])


def test_a_sample_without_a_value_for_each_type_is_no_profile() -> None:
    """Found by `make fuzz`: which types were asked for decided whether it was seen."""
    lacking = _profile() + _message(2, _number(1, 2), _number(2, 5))
    for read in (pprof.decode, lambda raw: pprof_write.select(raw, ["cpu"])):
        with pytest.raises(ValueError, match="a sample lacks a value"):
            read(lacking)


def test_what_happened_is_added_up_and_of_snapshots_the_newest_counts(tmp_path: Path) -> None:
    frame = (("hold", "main.go", 1),)
    kept = []
    for number, held in enumerate((100, 300)):
        for kind, name, unit, period, value in (
            ("memory", "inuse_space", "bytes", memray_pprof.PERIOD, held),
            ("process_cpu", "cpu", "nanoseconds", ("cpu", "nanoseconds"), 7),
        ):
            path = tmp_path / f"{kind}-{number}.pprof"
            path.write_bytes(pprof_write.encode([(name, unit)], [(frame, [value])], period=period, time_ns=1))
            kept.append(fold.Kept(path, kind, "settled"))
    (tmp_path / "cut.pprof").write_bytes(kept[0].path.read_bytes()[:-9])
    problems = fold.write(tmp_path, [*kept, fold.Kept(tmp_path / "cut.pprof", "memory", "")])
    assert (tmp_path / "memory.folded").read_text() == "hold (main.go) 300\n"
    assert (tmp_path / "cpu.folded").read_text() == "hold (main.go) 14\n"
    assert problems == ["cut.pprof: not a whole profile: it was cut short"]
    types = [each.profile_type for each in kept[:2]]
    assert types == [fold.PROFILE_TYPES["memory", "inuse_space"], fold.PROFILE_TYPES["process_cpu", "cpu"]]


def test_of_replicas_the_newest_snapshot_of_each_counts(tmp_path: Path) -> None:
    frame = (("hold", "main.go", 1),)
    kept = []
    for number, (replica, held) in enumerate(((0, 100), (1, 1000), (0, 200), (1, 3000))):
        path = tmp_path / f"memory-{number}.pprof"
        path.write_bytes(
            pprof_write.encode([("inuse_space", "bytes")], [(frame, [held])], period=("space", "bytes"), time_ns=1)
        )
        kept.append(fold.Kept(path, "memory", "settled", replica=replica))
    assert fold.write(tmp_path, kept) == []
    assert (tmp_path / "memory.folded").read_text() == "hold (main.go) 3200\n"


def test_a_memray_capture_is_sent_as_one_snapshot_after_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ensure(_python: PythonRuntime, _progress: Progress) -> Path:
        return tmp_path / "side"

    monkeypatch.setattr("harness.toolchain.inject.ensure", ensure)
    sink, taken = ListSink(), list[Upload]()
    plan = launch(["python", "-m", "pkg"], sink, tmp_path)
    plan.labels = {"scenario": "s"}
    program = tmp_path / "program.py"
    program.write_text("def hold():\n    return [bytearray(1 << 20) for _ in range(8)]\nkept = hold()\n")
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    command = [
        sys.executable,
        "-m",
        "memray",
        "run",
        "--quiet",
        "-o",
        str(profiles / "memray-start-0.bin"),
        str(program),
    ]
    subprocess.run(command, check=True, timeout=60)
    (profiles / "memray-broken.bin").write_bytes(b"no capture")

    async def scenario() -> None:
        server = ingest.IngestServer(taken.append)
        await server.start()
        (collector,) = create([], pyroscope=server.url)
        await collector.prepare(plan)
        assert taken == []
        await collector.detach()
        await server.stop()

    asyncio.run(scenario())
    (upload,) = taken
    assert upload.labels == {
        "__name__": "memory", "service_name": "s", "scenario": "s", "run_id": plan.run_id, "phase": "peak",
    }  # fmt: skip
    profile = pprof.decode(upload.raw)
    held = {stack: value for stack, value in profile.folded("inuse_space").items() if "hold (" in stack}
    assert 8 << 20 <= sum(held.values()) < 9 << 20
    assert sum(value for stack, value in profile.folded("inuse_objects").items() if "hold (" in stack) >= 8
    assert "hold (" in (profiles / "memory.folded").read_text()
    (warning,) = sink.warnings
    assert "memray-broken.bin cannot be sent" in warning
    assert "\n" not in warning
    (link,) = sink.of("pyroscope")
    assert list(link["links"]) == ["memory:inuse_space:bytes:space:bytes"]
