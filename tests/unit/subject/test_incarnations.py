"""Restarts with real processes: what the run holds on to is the subject, not one of its processes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.handles import Ending
from harness.subject.incarnations import Incarnations, Starter
from harness.subject.process import ProcessSubject, SubjectNotReady
from harness.subject.readiness import Ready
from tests.unit.subject.test_subject_process import begin, launch

DIES = """
import pathlib, sys, time
print("ready", flush=True)
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.05)
raise SystemExit(4)
"""
"""When a file is there: what ends by itself before the test has seen that it was ready was not ready."""
LEAVES_ON_TERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("leaving", flush=True), sys.exit(0)))
print("ready", flush=True)
time.sleep(60)
"""
READY_ONCE = """
import pathlib, sys, time
mark = pathlib.Path(sys.argv[1])
if mark.exists():
    sys.exit(3)
mark.touch()
print("ready", flush=True)
time.sleep(60)
"""


def starter(tmp_path: Path, code: str, *arguments: str) -> Starter:
    order = launch(tmp_path, code, *arguments)

    async def start(incarnation: int, started: Callable[[ProcessSubject], None]) -> ProcessSubject:
        return await begin(order, incarnation=incarnation, started=started, ready=Ready(log="^ready$"))

    return start


def run(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await body()

    asyncio.run(bounded())


async def nothing() -> None:
    """Between two incarnations."""


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGTERM, ["ready", "leaving", "ready"]), (signal.SIGKILL, ["ready"] * 2)]
)
def test_a_restart_is_no_end(tmp_path: Path, number: int, said: list[str]) -> None:
    async def body() -> None:
        subject = await Incarnations.start(starter(tmp_path, LEAVES_ON_TERM))
        first, first_pid = subject.current, subject.pid
        waiting = asyncio.create_task(subject.wait_ended())
        await asyncio.sleep(0.05)  # it waits for the end of the first incarnation
        seen: list[object] = []

        async def between() -> None:
            await asyncio.sleep(0.05)
            seen.extend([subject.ending(), subject.pids(), waiting.done()])

        ending = await subject.restart(number, between)
        assert seen == [None, [], False]  # while it is being restarted it counts as living
        assert ending.kind == "our_signal"
        assert ending.evidence["signals_sent"] == [number]
        assert (subject.incarnation, subject.ending()) == (1, None)
        assert subject.current is not first
        assert subject.pid != first_pid
        assert subject.pids() == [subject.pid]
        assert subject.ready_ns is not None
        assert subject.ready_ns > subject.started_ns > first.started_ns
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await subject.stop()
        assert (await waiting).kind == "our_signal"
        assert subject.log.read_text().splitlines()[: len(said)] == said

    run(body)


def test_one_that_died_by_itself_is_not_started_again(tmp_path: Path) -> None:
    async def body() -> None:
        now = tmp_path / "now"
        subject = await Incarnations.start(starter(tmp_path, DIES, str(now)))
        now.touch()
        await subject.wait_ended()
        ending = await subject.restart(signal.SIGTERM, nothing)
        assert (ending.kind, ending.exit_code, subject.incarnation) == ("crash", 4, 0)
        await subject.stop()

    run(body)


def test_one_that_is_killed_for_memory_while_it_is_ended_is_not_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        subject = await Incarnations.start(starter(tmp_path, LEAVES_ON_TERM))
        stop = subject.current.stop

        async def too_late(grace_s: float) -> Ending:
            return replace(await stop(grace_s), kind="oom_limit")

        monkeypatch.setattr(subject.current, "stop", too_late)
        assert (await subject.restart(signal.SIGTERM, nothing)).kind == "oom_limit"
        assert subject.incarnation == 0
        assert subject.ending() is not None

    run(body)


def test_one_that_does_not_come_up_again_has_ended(tmp_path: Path) -> None:
    async def body() -> None:
        subject = await Incarnations.start(starter(tmp_path, READY_ONCE, str(tmp_path / "mark")))
        waiting = asyncio.create_task(subject.wait_ended())
        # The first incarnation's line "ready" is still in the log: it must not count for the second.
        with pytest.raises(SubjectNotReady, match="ended by itself with exit code 3 before it was ready"):
            await subject.restart(signal.SIGKILL, nothing)
        assert subject.incarnation == 1
        assert (await waiting).exit_code == 3
        ending = subject.ending()
        assert ending is not None
        assert ending.kind == "crash"
        await subject.stop()

    run(body)
