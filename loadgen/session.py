"""A session: Locust as a library, driven by the harness's commands.

Its team carries the phases out; the session starts them, ends each when every request is settled, its time is over, or all
is to end, and says so.
"""

from __future__ import annotations

import time

import gevent
from gevent.event import Event
from gevent.queue import Queue

from loadgen.control import Control
from loadgen.crew import MOST_AT_ONCE
from loadgen.master import Master
from loadgen.plan import Plan
from loadgen.stream import Stream
from loadgen.team import Calls, LocalTeam, Running, Team

LAST_WORDS_S = 1.0
"""How long the end waits for the reader of the stream; the whole end is promised within two seconds."""


class BrokenWorker(Exception):
    """A worker raised what it should have handled: a bug of the load generator."""


class Session:
    """One plan being carried out. Raises PlanError at once for what is wrong with the plan or its credentials."""

    def __init__(self, plan: Plan, stream: Stream) -> None:
        self.plan = plan
        self.stream = stream
        self._ran: set[str] = set()
        self._runs: Queue = Queue()
        self._stopping = Event()
        self._fault: BaseException | None = None
        calls = Calls(
            now_ns=self.now_ns,
            report=stream.emit,
            row=stream.row,
            wait_for_room=stream.wait_for_room,
            began=self._began,
            error=self._error,
            broken=self._broken,
            stopping=self._stopping,
        )
        self._team: Team = (
            LocalTeam(plan, calls) if plan.workers == 1 and plan.external is None else Master(plan, calls)
        )

    def now_ns(self) -> int:
        """Run time: nanoseconds since the plan's origin."""
        return time.monotonic_ns() - self.plan.origin_ns

    def stop(self) -> None:
        """End as soon as possible; a phase under way ends with what is done."""
        self._stopping.set()
        self._runs.put(None)

    def serve(self, stdin: int) -> None:
        """Obey commands until told to stop. Raises BrokenWorker if a worker fails in a way it should not, PlanError if it
        never came."""
        control = Control(stdin, self._on_run, self.stop, self._on_unknown)
        try:
            self._team.ready()
            self.stream.emit({"type": "ready"})
            while (names := self._runs.get()) is not None and not self._stopping.is_set():
                self._run_phases(names)
        finally:
            control.close()
            self._team.close()
        if self._fault is not None:
            raise BrokenWorker(f"{type(self._fault).__name__}: {self._fault}") from self._fault

    def _run_phases(self, names: list[str]) -> None:
        """Run phases at the same time; returns when all are over."""
        if not self._may_run(names):
            return
        self._ran.update(names)
        runs = self._team.start(names)
        # They begin together, so one stands for all. (Waiting for several, of which gevent then lets go of the rest, has
        # it forget those who wait for these.)
        gevent.wait([runs[0].began, self._stopping], count=1)
        ends = [gevent.spawn(self._end, run) for run in runs]
        gevent.joinall(ends)
        self._team.rest()

    def _may_run(self, names: list[str]) -> bool:
        if len(names) > MOST_AT_ONCE or len(set(names)) < len(names):
            self._error(f"phases {', '.join(names)}: at most {MOST_AT_ONCE} different ones run at the same time")
            return False
        for name in names:
            if name not in self.plan.phases or name in self._ran:
                known = ", ".join(self.plan.phases)
                why = "has already run" if name in self.plan.phases else f"is not in the plan ({known})"
                self._error(f"phase {name!r} {why}")
                return False
        return True

    def _end(self, run: Running) -> None:
        """Wait until a phase is over, for whatever reason, and say so."""
        gevent.wait([run.finished, self._stopping], timeout=run.phase.timeout_s, count=1)
        self._team.dismiss(run)
        self._team.mark()
        self.stream.emit(run.ended_line())

    def _began(self, run: Running) -> None:
        self._team.mark()
        self.stream.emit(run.started_line())

    def _error(self, message: str) -> None:
        self.stream.emit({"type": "error", "message": message, "fatal": False})

    def _broken(self, fault: BaseException) -> None:
        self._fault = self._fault or fault
        self.stop()

    def _on_run(self, names: list[str]) -> None:
        self._runs.put(names)

    def _on_unknown(self, line: str) -> None:
        self._error(f"unknown command {line[:100]!r}")
