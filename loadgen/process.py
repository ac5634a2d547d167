"""The process around a session: signals, standard streams, exit codes."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import gevent

from loadgen.fields import PlanError
from loadgen.plan import load
from loadgen.session import LAST_WORDS_S, BrokenWorker, Session
from loadgen.stream import Stream

STOPPED, WRONG_PLAN, BUG = 0, 2, 70

log = logging.getLogger("loadgen")


def run(plan_file: Path) -> int:
    """Carry out the plan of `plan_file`. Returns the exit code."""
    # Locust warns of starting many users at once, meant for users that log in; ours share a pool.
    logging.getLogger("locust.runners").setLevel(logging.ERROR)
    sessions: list[Session] = []

    def stop() -> None:
        for session in sessions:
            session.stop()

    stream = facts(on_broken=stop)
    try:
        sessions.append(Session(load(plan_file), stream))
        # What is loaded now lives as long as the process: collections need not look at it, and pause less.
        gc.collect()
        gc.freeze()
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, stop)
        sessions[0].serve(sys.stdin.fileno())
        code = STOPPED
    except PlanError as fault:
        code = fail(stream, str(fault), WRONG_PLAN)
    except BrokenWorker as fault:
        code = fail(stream, f"bug in the load generator: {fault}", BUG)
    finish(stream)
    return code


def facts(on_broken: Callable[[], None]) -> Stream:
    """The stream to the harness. It has stdout for itself: what a library prints goes to stderr, and so do logs."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(levelname)s: %(message)s")
    descriptor = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return Stream(descriptor, on_broken=on_broken)


def finish(stream: Stream) -> None:
    """Write what the harness has not been told yet."""
    if not stream.close(LAST_WORDS_S):
        log.warning("the last facts could not be written: nobody reads them")


def fail(stream: Stream, message: str, code: int) -> int:
    """Tell the harness why it ends with `code`."""
    line = " ".join(message.split())
    stream.emit({"type": "error", "message": line, "fatal": True})
    log.error("%s", line)
    return code
