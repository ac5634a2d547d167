"""The process around a session: signals, standard streams, exit codes."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
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
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(levelname)s: %(message)s")
    # Locust warns of starting many users at once, meant for users that log in; ours share a pool.
    logging.getLogger("locust.runners").setLevel(logging.ERROR)
    sessions: list[Session] = []

    def stop() -> None:
        for session in sessions:
            session.stop()

    # The stream has stdout for itself: whatever a library prints goes to stderr.
    facts = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    stream = Stream(facts, on_broken=stop)
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
        code = _fail(stream, str(fault), WRONG_PLAN)
    except BrokenWorker as fault:
        code = _fail(stream, f"bug in the load generator: {fault}", BUG)
    if not stream.close(LAST_WORDS_S):
        log.warning("the last facts could not be written: nobody reads them")
    return code


def _fail(stream: Stream, message: str, code: int) -> int:
    line = " ".join(message.split())
    stream.emit({"type": "error", "message": line, "fatal": True})
    log.error("%s", line)
    return code
