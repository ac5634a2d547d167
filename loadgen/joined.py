"""A load worker: a process that joined a master and carries out its share of each phase (`python -m loadgen --join`).

Its users stay for all phases; a phase takes places among them. What it says goes through one outbox, so that the rows of a
phase are there before the word that its share is over.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.os import tp_read
from locust.env import Environment

from loadgen.crew import Crew, StandingCrew
from loadgen.fields import PlanError
from loadgen.master import boot_id
from loadgen.phaserun import PhaseRun, Share
from loadgen.plan import Plan, load
from loadgen.selfwatch import SelfWatch
from loadgen.stream import INTERVAL_S, ROWS_PER_LINE
from loadgen.team import tell_rows
from loadgen.users import LoadUser
from loadgen.worker import Fire

MOST_BATCHES = 500
"""Batches of rows that the master has not taken yet, before this worker's senders wait."""
CLOCK_ROUNDS = 16
WELCOME_S = 30.0
LOST_MASTER = 3
FAREWELL_S = 2.0
"""For the answer to a worker that leaves without being told to. What waits in ZeroMQ when a process ends is lost with it."""
LOOK_S = 0.5

log = logging.getLogger("loadgen")


def run(plan_file: Path, host: str, port: int) -> int:
    """Work for the master at an address until it says to leave, or is gone. Returns the exit code."""
    token = sys.stdin.readline().strip()
    try:
        plan = load(plan_file)
    except PlanError as fault:  # the master has read the same plan: only a file that changed since comes here
        sys.stderr.write(f"loadgen: {fault}\n")
        return 2
    return work_for(plan, host, port, token, stdin=sys.stdin.fileno())


def work_for(plan: Plan, host: str, port: int, token: str, stdin: int | None = None) -> int:
    """The same with a plan that was read already; `stdin`: it goes when that ends."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(levelname)s: %(message)s")
    logging.getLogger("locust.runners").setLevel(logging.ERROR)
    try:
        joined = Joined(plan, host, port, token)
    except PlanError as fault:  # credentials that cannot be read
        sys.stderr.write(f"loadgen: {fault}\n")
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, joined.leave)
    if stdin is not None:
        go_with(stdin, joined.leave)
    return joined.serve()


def go_with(stdin: int, leave: Callable[[], object]) -> None:
    """Whoever started this process holds its standard input: when that is gone, it leaves."""

    def wait() -> None:
        while tp_read(stdin, 1):
            pass
        leave()

    gevent.spawn(wait)


class Outbox:
    """What goes to the master, in order: rows in batches, and the rest."""

    def __init__(self, send: Callable[[str, dict[str, object]], None]) -> None:
        self._send = send
        self._rows: list[Sequence[object]] = []
        self._untaken = 0
        self._room = Event()
        self._room.set()
        self._greenlet = gevent.spawn(self._run)

    def row(self, row: Sequence[object]) -> None:
        """A request row."""
        self._rows.append(row)
        if len(self._rows) >= ROWS_PER_LINE:
            self.flush()

    def say(self, name: str, data: Mapping[str, object]) -> None:
        """A message, after all rows so far."""
        self.flush()
        self._send(name, dict(data))

    def line(self, line: Mapping[str, object]) -> None:
        """A line that the master tells the harness."""
        self.say("line", {"line": dict(line)})

    def wait_for_room(self) -> None:
        """Block while the master is far behind."""
        self._room.wait()

    def taken(self, batches: int) -> None:
        """The master has passed on so many batches."""
        self._untaken -= batches
        if self._untaken <= MOST_BATCHES // 2:
            self._room.set()

    def flush(self) -> None:
        """Send the rows that wait."""
        if self._rows:
            rows, self._rows = self._rows, []
            self._untaken += 1
            if self._untaken > MOST_BATCHES:
                self._room.clear()
            self._send("rows", {"rows": rows})

    def _run(self) -> None:
        while True:
            gevent.sleep(INTERVAL_S)
            self.flush()


class Joined:
    """One load worker. Raises PlanError for what is wrong with the plan or its credentials."""

    def __init__(self, plan: Plan, host: str, port: int, token: str) -> None:
        self._plan = plan
        self._token = token
        self._origin_ns = plan.origin_ns
        self._over = Event()
        self._welcome = Event()
        self._farewell = Event()
        self._facts: dict[str, Any] = {}
        self._echo: dict[str, Any] | None = None
        self._echoed = Event()
        self._runs: dict[str, PhaseRun] = {}
        self._code = 0
        self._dismissed = False
        """The master has said to leave."""
        self._standing: StandingCrew | None = None
        self._watch: SelfWatch | None = None
        environment = Environment(user_classes=[LoadUser], host=plan.server)
        environment.crew = self
        self._runner = environment.create_worker_runner(host, port)
        self._outbox = Outbox(self._runner.send_message)
        for name, listener in {
            "welcome": self._on_welcome, "clock": self._on_clock, "prepare": self._on_prepare, "begin": self._on_begin,
            "dismiss": self._on_dismiss, "taken": self._on_taken, "leave": self._on_leave,
            "farewell": self._on_farewell,
        }.items():  # fmt: skip
            self._runner.register_message(name, listener)
        environment.events.request.add_listener(tell_rows(self._outbox.row, self._news))
        environment.events.user_error.add_listener(self._on_user_error)
        gevent.spawn(self._go_with_locust)

    def now_ns(self) -> int:
        """Run time, by the master's clock."""
        return time.monotonic_ns() - self._origin_ns

    def leave(self) -> None:
        """End as soon as possible."""
        self._over.set()

    def serve(self) -> int:
        """Join, then work until told to leave. Returns the exit code."""
        self._outbox.say("join", {"token": self._token})
        if not self._welcome.wait(WELCOME_S):
            log.error("the master did not answer within %.0f s", WELCOME_S)
            return LOST_MASTER
        share = Share(self._facts["number"], self._facts["of"])
        clock = self._set_clock()
        crew = Crew(
            self._plan, self.now_ns, wait_for_room=self._outbox.wait_for_room, report=self._outbox.line,
            on_error=self._trouble, share=share,
        )  # fmt: skip
        self._standing = StandingCrew(crew)
        gc.collect()
        gc.freeze()
        self._watch = SelfWatch(self.now_ns, self._outbox.line)
        self._outbox.say("joined", {"pid": os.getpid(), "host": socket.gethostname(), **clock})
        self._over.wait()
        self._standing.end()
        for run in self._runs.values():
            crew.dismiss(run)
        crew.close()
        self._watch.close()
        self._outbox.flush()
        # Where nobody has told it to, the end of its share must not pass for the whole of it.
        self._outbox.say("leaving", {"told": self._dismissed})
        if not self._dismissed and not self._code:
            self._farewell.wait(FAREWELL_S)
        return self._code

    def work(self, fire: Fire) -> None:
        """A user's whole life."""
        if self._standing is not None:
            self._standing.work(fire)

    def _go_with_locust(self) -> None:
        """Leave when Locust has given up: it ends its own greenlets where the master says `quit`, or is not heard of any more,
        and tells nobody. A worker of another machine would wait for a dead master's word for ever, and serve no other run."""
        while len(self._runner.greenlet):
            gevent.sleep(LOOK_S)
        self._code = self._code or LOST_MASTER
        self.leave()

    def _set_clock(self) -> dict[str, object]:
        """Take over the master's clock where it is not ours. What is told of it, in ns: how far the master's is ahead, give or
        take what, and whether it is the same clock nevertheless, so that nothing was to be set."""
        same = self._facts["boot_id"] == boot_id()
        if same and not self._facts["outside"]:
            return {"offset_ns": 0, "uncertainty_ns": 0, "shared_clock": True}
        origin_ns, uncertainty_ns = self._compare_clocks()
        offset_ns = self._plan.origin_ns - origin_ns
        # A pod on the master's machine reads the master's clock, unless it has a time namespace of its own.
        shared = same and abs(offset_ns) <= uncertainty_ns
        if not shared:
            self._origin_ns = origin_ns
        return {"offset_ns": offset_ns, "uncertainty_ns": uncertainty_ns, "shared_clock": shared}

    def _compare_clocks(self) -> tuple[int, int]:
        """Where run time begins by our own clock, as exactly as the quickest of some exchanges allows; that, too. In ns."""
        best: tuple[int, int] | None = None
        for _ in range(CLOCK_ROUNDS):
            self._echoed.clear()
            sent_ns = time.monotonic_ns()
            self._runner.send_message("clock", {"sent_ns": sent_ns})
            if not self._echoed.wait(1.0) or self._echo is None or self._echo["sent_ns"] != sent_ns:
                continue
            way_ns = time.monotonic_ns() - sent_ns
            if best is None or way_ns < best[0]:
                best = (way_ns, sent_ns + way_ns // 2 - self._echo["master_ns"])
        if best is None:
            raise RuntimeError("the master did not tell its clock")
        return best[1], best[0] // 2 + 1

    def _begin_at(self, runs: Sequence[PhaseRun], start_ns: int) -> None:
        gevent.sleep(max(0.0, (start_ns - self.now_ns()) / 1e9))
        for run in runs:
            run.begin(start_ns)

    def _see_off(self, run: PhaseRun) -> None:
        """Say that this worker's share of a phase is over, when it is."""
        run.finished.wait()
        assert self._standing is not None
        assert self._watch is not None
        self._standing.crew.dismiss(run)
        self._watch.mark()
        self._outbox.say("over", {"phase": run.phase.name, "outcome": asdict(run.outcome())})

    # -- Locust calls these --------------------------------------------------------------------------------------------

    def _on_welcome(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        self._facts = msg.data
        self._welcome.set()

    def _on_clock(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        self._echo = msg.data
        self._echoed.set()

    def _on_prepare(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        assert self._standing is not None
        assert self._watch is not None
        names = msg.data["phases"]
        for run in self._standing.prepare(names):
            self._runs[run.phase.name] = run
            gevent.spawn(self._see_off, run)
        self._watch.mark()
        self._outbox.say("prepared", {"phases": names})

    def _on_begin(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        gevent.spawn(self._begin_at, [self._runs[name] for name in msg.data["phases"]], msg.data["start_ns"])

    def _on_dismiss(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        self._runs[msg.data["phase"]].close()

    def _on_taken(self, msg: Any, **_: object) -> None:  # noqa: ANN401
        self._outbox.taken(msg.data["batches"])

    def _on_leave(self, **_: object) -> None:
        self._dismissed = True
        self.leave()

    def _on_farewell(self, **_: object) -> None:
        self._farewell.set()

    def _on_user_error(self, exception: BaseException, **_facts: object) -> None:
        self._outbox.say("broken", {"message": f"{type(exception).__name__}: {exception}"})

    def _news(self, run: PhaseRun, error: str, name: str) -> None:
        if run.news(error, name) is not None:
            self._outbox.say("news", {"phase": run.phase.name, "error": error, "name": name})

    def _trouble(self, message: str) -> None:
        self._outbox.say("trouble", {"message": message})
