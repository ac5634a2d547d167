"""Ends of a subject, brought about for real in real cgroups, against what the harness reports of them."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from unittest import mock

from harness.collectors.oom import OomCollector
from harness.controllers.calibrated import endings
from harness.core.handles import Ending, EndKind, Launch
from harness.core.ids import new_run_id
from harness.experiment.thrash import ThrashGuard
from harness.subject import limits, witness
from harness.subject.incarnations import Incarnations
from harness.subject.kernel_log import KernelLog
from harness.subject.process import ProcessSubject, start
from harness.subject.readiness import Ready
from tests.accuracy.sheet import Matrix, Row
from tests.collecting import ListSink, context

LIMIT = 48 * 2**20
KILLS = 50
OTHERS = 10
"""Of each other cause."""
THRASHINGS = 3
"""A thrashing subject is watched for 30 s before it is said to be one."""
_AT_ONCE = 4
_TIMEOUT_S = 90.0
_PROGRAM = Path(endings.__file__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the harness says of one subject."""

    ending: Ending
    kills: int
    """Of the collector."""
    events: int
    said: str
    """The subject's log."""


@dataclass(frozen=True, slots=True)
class Cause:
    """How an end is brought about, and what it must be called."""

    name: str
    how: str
    kind: EndKind
    kills: int = 0
    """That the collector must count: kills in the cgroup, whoever's limit was the reason."""
    act: Callable[[Incarnations], Awaitable[None]] | None = None
    """What is done to the subject once it goes."""
    log: bool = True
    """Whether the kernel's log may be read: without it the cgroup's counters must do."""


async def _wait_for_hits(subject: Incarnations) -> None:
    assert subject.cgroup is not None
    before = subject.cgroup.limit_hits()
    while subject.cgroup.limit_hits() < before + 50:  # noqa: ASYNC110  # the kernel has no event for us
        await asyncio.sleep(0.01)


async def _killed_by_somebody(subject: Incarnations) -> None:
    os.kill(subject.pid, signal.SIGKILL)


async def _killed_at_its_limit(subject: Incarnations) -> None:
    await _wait_for_hits(subject)
    os.kill(subject.pid, signal.SIGKILL)


async def _stopped(subject: Incarnations) -> None:
    await subject.stop()


async def _killed_by_the_harness_at_its_limit(subject: Incarnations) -> None:
    await _wait_for_hits(subject)
    await subject.stop(0)


CAUSES = (
    Cause("SIGTERM by the harness", "wait", "our_signal", act=_stopped),
    Cause("SIGKILL by the harness, at the limit", "thrash", "our_signal", act=_killed_by_the_harness_at_its_limit),
    Cause("SIGKILL by somebody", "wait", "crash", act=_killed_by_somebody),
    Cause("SIGKILL by somebody, at the limit", "thrash", "crash", act=_killed_at_its_limit),
    Cause("its own SIGKILL", "signal:KILL", "crash"),
    Cause("segmentation fault", "signal:SEGV", "crash"),
    Cause("abort", "signal:ABRT", "crash"),
    Cause("exit code 137", "exit:137", "crash"),
    Cause("exit code 1", "exit:1", "crash"),
    Cause("exit code 0", "exit:0", "clean"),
    Cause("OOM kill of a child, then exit code 0", "respawn:1", "clean", kills=1),
)
OWN_LIMIT = Cause("OOM kill at its own limit", "oom", "oom_limit", kills=1)
ENCLOSING = Cause("OOM kill at an enclosing limit", "oom", "oom_node", kills=1)
WITHOUT_LOG = (
    Cause("own limit, kernel log unreadable", "oom", "oom_limit", kills=1, log=False),
    Cause("enclosing limit, kernel log unreadable", "oom", "oom_node", kills=1, log=False),
)
THRASHING = Cause("thrashing at the limit", "thrash", "thrashing")
RESPAWN = Cause("restarts within a second", f"respawn:{KILLS}", "clean", kills=KILLS)


async def measure(
    matrix: Matrix,
    detail: Callable[[str], None],
    *,
    kills: int = KILLS,
    others: int = OTHERS,
    thrashings: int = THRASHINGS,
) -> list[Row]:
    """All causes; each end is counted in `matrix`."""
    wrong = counted = 0
    own: list[Seen] = []
    for cause, times in ((OWN_LIMIT, kills), (ENCLOSING, others), *((cause, others) for cause in (*WITHOUT_LOG, *CAUSES)),
                         (THRASHING, thrashings)):  # fmt: skip
        detail(f"{cause.name}, {times} times")
        for seen in await _several(cause, times):
            matrix.add(cause.name, seen.ending.kind)
            if seen.ending.kind != cause.kind or (seen.kills, seen.events) != (cause.kills, cause.kills):
                wrong += 1
                detail(f"WRONG: {cause.name}: {seen.ending.kind}, {seen.kills} kills: {seen.ending.sentence}")
            counted += 1
            if cause is OWN_LIMIT:
                own.append(seen)
    detail(f"{KILLS} kills of one process that is started again at once")
    (respawned,) = await _several(RESPAWN, 1)
    return [
        *_own(own),
        _row(
            "ends reported as something else",
            counted,
            0,
            wrong,
            "cause brought about against kind of the ending, and kills",
        ),
        *_respawned(respawned),
    ]


def _own(own: list[Seen]) -> list[Row]:
    how = f"{len(own)} processes, each in a fresh cgroup of {LIMIT >> 20} MiB; samples and events of the collector"
    return [
        _row("OOM kills", len(own), len(own), sum(seen.kills for seen in own), how),
        _row("events oom_kill", len(own), len(own), sum(seen.events for seen in own), how),
    ]


def _respawned(seen: Seen) -> list[Row]:
    lines = [line.split() for line in seen.said.splitlines() if line.startswith("child ")]
    true = sum(line[2] == "killed" for line in lines)
    times = [int(line[3]) for line in lines]
    gaps = [(after - before) / 1e9 for before, after in pairwise(times)]
    how = (
        f"one process in one cgroup, killed {true} times; true is what wait(2) told its parent. From kill to kill "
        f"{min(gaps):.2f} to {max(gaps):.2f} s, median {statistics.median(gaps):.2f} s"
    )
    return [
        _row("OOM kills, restarts within a second", true, true, seen.kills, how),
        _row("events oom_kill, restarts within a second", true, true, seen.events, how),
    ]


def _row(quantity: str, n: int, true: int, measured: int, how: str) -> Row:
    return Row("oom", quantity, n, "count", true, measured, abs(measured - true), "count", 0, how)


async def _several(cause: Cause, times: int) -> list[Seen]:
    """A few at a time: a process in a cgroup of its own disturbs nobody else's."""
    found: list[Seen] = []
    with nullcontext() if cause.log else mock.patch.object(witness, "KernelLog", _Unreadable):
        for first in range(0, times, _AT_ONCE):
            found += await asyncio.gather(*(_one(cause) for _ in range(first, min(times, first + _AT_ONCE))))
    return found


async def _one(cause: Cause) -> Seen:
    with tempfile.TemporaryDirectory(prefix="harness-accuracy-") as name:
        run_id, sink = new_run_id(), ListSink()
        command = [sys.executable, "-I", "-S", str(_PROGRAM), "exit:0" if cause.how == "wait" else cause.how, "wait"]
        order = Launch(
            run_id=run_id, run_dir=Path(name), clock=sink.clock, sink=sink, command=command, env=dict(os.environ),
            runtime="python", python=None,
        )  # fmt: skip

        async def starter(number: int, started: Callable[[ProcessSubject], None]) -> ProcessSubject:
            return await start(
                order, kubeconfig=Path(name) / "kubeconfig", user="u", namespace="n", memory_limit=LIMIT,
                ready=Ready(log="^ready$"), incarnation=number, started=started,
            )  # fmt: skip

        subject = await Incarnations.start(starter)
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                return await _watched(cause, subject, sink)
        finally:
            await subject.stop(0)


class _Unreadable(KernelLog):
    """The kernel's log as an ordinary user has it."""

    def __init__(self) -> None:
        super().__init__(Path("/nonexistent"))


async def _watched(cause: Cause, subject: Incarnations, sink: ListSink) -> Seen:
    cgroup = subject.cgroup
    assert cgroup is not None
    if cause.kind == "oom_node":
        limits.set_limit(cgroup.path.parent, cgroup.version, LIMIT // 2)
    collector = OomCollector()
    await collector.attach(context(sink, subject))
    guard = asyncio.create_task(ThrashGuard(subject, sink, lambda: None).watch())
    try:
        if cause.how != "wait":
            os.kill(subject.pid, signal.SIGUSR1)
        if cause.act is not None:
            await cause.act(subject)
        ending = await subject.wait_ended()
        await collector.detach()
    finally:
        guard.cancel()
        await asyncio.gather(guard, return_exceptions=True)
    kills = sink.last("oom.kills")
    assert kills is not None
    return Seen(ending, int(kills), len(sink.of("oom_kill")), subject.log.read_text())
