"""memray attached to real processes: idle, busy, blocked, stubborn ones; all must live on and answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from memray import FileReader

from harness.collectors.attach.injector import Symbols
from harness.collectors.attach.ptrace import Thread
from harness.collectors.attach.session import Attachment
from harness.collectors.attach.target import examine
from harness.collectors.registry import create
from harness.core.errors import RunFault
from harness.subject import limits
from tests.attach_targets import KINDS, STUBBORN, Running, running
from tests.bench import kills
from tests.bench.sheet import Sheet
from tests.collecting import ListSink, ProcessSubject, context, launch
from tests.integration.conftest import Printed

_XMM = slice(160, 416)
"""Where the sixteen of them are in the area that `XSAVE` writes."""
_PROFILE = [sys.executable, "-m", "harness.cli.main", "profile"]


async def _cycle(pid: int, capture: Path) -> Attachment:
    attachment = await Attachment.attach(await examine(pid, capture.parent, Printed()), capture)
    await asyncio.sleep(0.05)
    await attachment.detach()
    await attachment.detach()
    return attachment


def _maps(target: Running) -> str:
    return Path(f"/proc/{target.pid}/maps").read_text()


def _until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_a_target_survives_being_attached_to_and_answers(kind: str, tmp_path: Path) -> None:
    capture = tmp_path / "capture.bin"
    with running(kind) as target:
        for _ in range(2):
            attachment = asyncio.run(_cycle(target.pid, capture))
            assert target.answers()
            assert attachment.proof is not None
            assert attachment.proof.main is not None
        # the way in is told by what the target does, not by chance
        expected = "between two bytecodes" if kind in ("busy", "spinning") else "at rest in "
        assert attachment.how.startswith(expected)
        functions = {
            frame[0]
            for record in FileReader(str(capture)).get_high_watermark_allocation_records(merge_threads=True)
            for frame in record.stack_trace()
        }
        assert ("_busy" in functions) == (kind == "busy")


@pytest.mark.parametrize(
    ("kind", "how"), [("busy", "asked by sys.remote_exec"), ("spinning", "asked by"), ("idle-asyncio", "at rest in ")]
)
def test_a_python_that_can_be_asked_is_asked_and_an_idle_one_is_let_rest(kind: str, how: str, tmp_path: Path) -> None:
    python = shutil.which("python3.14")
    if python is None:
        pytest.skip("no Python 3.14: no python3.14 on the PATH")
    with running(kind, python) as target:
        for _ in range(2):
            attachment = asyncio.run(_cycle(target.pid, tmp_path / "capture.bin"))
            assert target.answers(), "and what was taken back does nothing when it goes on"
            assert attachment.how.startswith(how)
            assert (attachment.stopped_s == 0) == how.startswith("asked")
            assert [path.name for path in tmp_path.iterdir()] == ["capture.bin"]


def test_all_registers_of_a_thread_come_through_a_call() -> None:
    """Vector registers too: malloc links its chunks with them, and may be stopped between two of its instructions."""

    def stopped() -> bytes:
        with Thread(target.pid, target.pid, deadline=time.monotonic() + 10) as thread:
            thread.call(symbols.libc("getenv"), thread.stack)
            return thread.extended

    with running("blocked-read") as target:
        symbols = Symbols(target.pid, "")
        before = stopped()
        assert any(before[_XMM]), "a thread that never used a vector register proves nothing"
        assert stopped() == before
        assert target.answers()


@pytest.mark.parametrize("kind", STUBBORN)
def test_who_does_not_let_us_in_is_left_as_it_was(kind: str, tmp_path: Path) -> None:
    capture = tmp_path / "capture.bin"

    async def try_() -> None:
        target_ = await examine(target.pid, tmp_path, Printed())
        await Attachment.attach(target_, capture, deadline_s=1.0)

    with running(kind) as target:
        with pytest.raises(RunFault, match=r"did not let memray in: .*it runs on untouched"):
            asyncio.run(try_())
        assert target.answers()
        _until(lambda: len(list(Path(f"/proc/{target.pid}/task").iterdir())) == 1)
        assert "_memray.cpython" not in _maps(target)
        assert not capture.exists()
        asyncio.run(_cycle(target.pid, capture))
        assert target.answers()


def _open_files(pid: int) -> Iterator[str]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it may be closed between two looks
            yield str(descriptor.readlink())


def test_a_harness_that_is_killed_leaves_no_tracker_behind(tmp_path: Path) -> None:
    with running("blocked-read") as target:
        with subprocess.Popen(
            [*_PROFILE, "--pid", str(target.pid), "--for", "10m", "--out", str(tmp_path / "one")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as harness:  # fmt: skip
            try:
                _until(lambda: any("memray-" in path for path in _open_files(target.pid)))
            finally:
                harness.kill()
        assert target.answers()
        asyncio.run(_cycle(target.pid, tmp_path / "two.bin"))  # memray refuses a second tracker in a process
        assert target.answers()


def test_two_at_once_are_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    async def both() -> None:
        examined = await examine(target.pid, tmp_path, Printed())
        first = await Attachment.attach(examined, tmp_path / "one.bin")
        with pytest.raises(RunFault, match=r"memray failed in it: .*No more than one Tracker"):
            await Attachment.attach(examined, tmp_path / "two.bin")
        assert (await first.ping()).main is not None
        await first.detach()

    with running("idle-asyncio") as target:
        asyncio.run(both())
        assert target.answers()


def test_a_target_that_dies_while_attached_is_told(tmp_path: Path) -> None:
    async def die() -> None:
        examined = await examine(target.pid, tmp_path, Printed())
        attachment = await Attachment.attach(examined, tmp_path / "one.bin")
        target.process.kill()
        target.process.wait(20)
        with pytest.raises(RunFault, match="is gone: no answer to `stop`"):
            await attachment.detach()
        with pytest.raises(RunFault, match="ended before memray was attached"):
            await Attachment.attach(examined, tmp_path / "two.bin")

    with running("busy") as target:
        asyncio.run(die())
    assert FileReader(str(tmp_path / "one.bin")).metadata.pid == target.pid


def test_profile_names_the_line_and_the_first_interrupt_ends_the_tracking_only(tmp_path: Path) -> None:
    with running("busy") as target:
        command = [*_PROFILE, "--pid", str(target.pid), "--for", "10m", "--out", str(tmp_path / "out"), "--json"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as harness:
            capture = tmp_path / "out" / "profiles" / f"memray-{target.pid}.bin"
            _until(lambda: capture.exists() and capture.stat().st_size > 100_000)
            harness.send_signal(signal.SIGINT)
            output, errors = harness.communicate(timeout=120)
        assert harness.returncode == 0, errors
        assert target.answers()
    document = json.loads(output)
    assert document["schema"] == "harness.profile/v1"
    assert document["top"][0]["function"] == "_busy"
    assert document["ended"] is False
    for key in ("flamegraph", "stacks", "capture"):
        assert (tmp_path / "out" / document[key]).stat().st_size > 0


def test_the_collector_is_in_from_the_load_until_settled(tmp_path: Path) -> None:
    sink = ListSink()
    (collector,) = create([], memray="attach")

    async def run() -> None:
        await collector.prepare(launch([sys.executable, "x.py"], sink, tmp_path))
        await collector.attach(context(sink, ProcessSubject(target.process), tmp_path))  # type: ignore[arg-type]
        await collector.settle()  # before the idle phase
        assert sink.of("memray_attached") == []
        await collector.phase_started("create-Secret")
        await collector.phase_started("settle-1")
        assert len(sink.of("memray_attached")) == 1
        await asyncio.sleep(0.2)
        await collector.settle()
        assert len(sink.of("memray_detached")) == 1
        assert target.answers()
        await collector.detach()
        await collector.detach()

    with running("busy") as target:
        asyncio.run(run())
        assert target.answers()
    (event,) = sink.of("memray")
    assert event["capture"] == "profiles/memray-create-Secret-0.bin"
    assert event["attached"] == "create-Secret"
    assert event["top"][0]["function"] == "_busy"
    assert sink.warnings == []


@pytest.mark.skipif(not limits.probe().ok, reason="no memory limits here")
@pytest.mark.parametrize("way", kills.WAYS)
def test_a_kill_at_the_limit_leaves_a_readable_capture(way: str, tmp_path: Path) -> None:
    assert asyncio.run(kills.kill(way, tmp_path, Sheet())) is None
