"""The process around a fleet of agents: standard streams, signals, exit codes, and what it costs."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import gevent
from gevent.event import Event

from loadgen.agents.asked import Asked, load
from loadgen.agents.fleet import Fleet
from loadgen.agents.following import Lost
from loadgen.control import Control
from loadgen.fields import PlanError
from loadgen.process import BUG, STOPPED, WRONG_PLAN, facts, fail, finish
from loadgen.selfwatch import SelfWatch
from loadgen.stream import Stream
from loadgen.transport import Transport

REPORT_S = 0.1
"""Between two looks at whether there is news: what waits must be known before the run is taken for settled."""


def run(path: Path) -> int:
    """Play the agents that `path` asks for until told to stop. Returns the exit code."""
    stopping = Event()
    stream = facts(on_broken=stopping.set)
    try:
        asked = load(path)
        transport = Transport(asked.plan, size=asked.concurrency + 1, watchers=2)
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, stopping.set)
        code = _play(asked, transport, stream, stopping)
    except PlanError as fault:
        code = fail(stream, str(fault), WRONG_PLAN)
    finish(stream)
    return code


def _play(asked: Asked, transport: Transport, stream: Stream, stopping: Event) -> int:
    def now_ns() -> int:
        return time.monotonic_ns() - asked.plan.origin_ns

    def complain(message: str) -> None:
        stream.emit({"type": "error", "message": message, "fatal": False})

    faults: list[BaseException] = []

    def broken(fault: BaseException) -> None:
        faults.append(fault)
        stopping.set()

    fleet = Fleet(asked, transport, complain)
    control = Control(
        sys.stdin.fileno(), lambda _: None, stopping.set, lambda line: complain(f"unknown command {line[:100]!r}")
    )
    watch = SelfWatch(now_ns, stream.emit)
    try:
        fleet.start(broken, stopping)
        if not stopping.is_set():
            stream.emit({"type": "ready"})
        told: dict[str, int] = {}
        while not stopping.wait(REPORT_S):
            counts = fleet.diary.counts()
            if counts != told:
                told = counts
                stream.emit({"type": "agents", "t_ns": now_ns(), **counts})
    finally:
        control.close()
        watch.close()
        fleet.close()
        transport.close()
    stream.emit(
        {
            "type": "agents-end",
            "t_ns": now_ns(),
            **fleet.diary.counts(),
            **fleet.diary.quantiles(),
            "error": fleet.diary.error,
        }
    )
    if not faults:
        return STOPPED
    fault = faults[0]
    words = str(fault) if isinstance(fault, Lost) else f"bug in the agents: {type(fault).__name__}: {fault}"
    return fail(stream, words, BUG)
