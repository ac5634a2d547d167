"""A session: Locust as a library, driven by the harness's commands.

Each phase, or group of phases that run at the same time, is one Locust load test: the shape asks for its workers,
`spawning_complete` starts its clock, and the session stops the test when every request is settled, the time of each
phase is over, or all is to end.
"""

from __future__ import annotations

import time

import gevent
from gevent.event import Event
from gevent.queue import Queue
from locust.env import Environment

from loadgen.control import Control
from loadgen.crew import MOST_AT_ONCE, Crew
from loadgen.locustfile import LoadUser, PlanShape
from loadgen.phaserun import PhaseRun
from loadgen.plan import Plan
from loadgen.selfwatch import SelfWatch
from loadgen.stream import Stream

LAST_WORDS_S = 1.0
"""How long the end waits for the reader of the stream; the whole end is promised within two seconds."""


class BrokenWorker(Exception):
    """A worker raised what it should have handled: a bug of the load generator."""


class Session:
    """One plan being carried out. Raises PlanError at once for what is wrong with the plan or its credentials."""

    def __init__(self, plan: Plan, stream: Stream) -> None:
        self.plan = plan
        self.stream = stream
        self.crew = Crew(
            plan, self.now_ns, wait_for_room=stream.wait_for_room, report=stream.emit, on_error=self._error
        )
        self._ran: set[str] = set()
        self._runs_now: list[PhaseRun] = []
        self._runs: Queue = Queue()
        self._stopping = Event()
        self._fault: BaseException | None = None
        self._cpu_warned = False
        self._watch: SelfWatch | None = None
        self._shape = PlanShape()
        self._environment = Environment(user_classes=[LoadUser], shape_class=self._shape, host=plan.server)
        self._environment.crew = self.crew
        events = self._environment.events
        events.request.add_listener(self._on_request)
        events.user_error.add_listener(self._on_user_error)
        events.cpu_warning.add_listener(self._on_cpu_warning)
        self._runner = self._environment.create_local_runner()
        # After the runner's own listener, so that the test counts as running when the workers are let go.
        events.spawning_complete.add_listener(self._on_spawning_complete)

    def now_ns(self) -> int:
        """Run time: nanoseconds since the plan's origin."""
        return time.monotonic_ns() - self.plan.origin_ns

    def stop(self) -> None:
        """End as soon as possible; a phase under way ends with what is done."""
        self._stopping.set()
        self._runs.put(None)

    def serve(self, stdin: int) -> None:
        """Obey commands until told to stop. Raises BrokenWorker if a worker fails in a way it should not."""
        control = Control(stdin, self._on_run, self.stop, self._on_unknown)
        watch = self._watch = SelfWatch(self.now_ns, self.stream.emit)
        self.stream.emit({"type": "ready"})
        try:
            while (names := self._runs.get()) is not None and not self._stopping.is_set():
                self._run_phases(names)
        finally:
            control.close()
            watch.close()
            self._runner.quit()
            self.crew.close()
        if self._fault is not None:
            raise BrokenWorker(f"{type(self._fault).__name__}: {self._fault}") from self._fault

    def _run_phases(self, names: list[str]) -> None:
        """Run phases at the same time; returns when all are over."""
        if not self._may_run(names):
            return
        self._ran.update(names)
        runs = self.crew.prepare(names)
        self._shape.current = runs
        self._runs_now = runs
        self._runner.start_shape()
        # They begin together, so one stands for all. (Waiting for several, of which gevent then lets go of the rest, has
        # it forget those who wait for these.)
        gevent.wait([runs[0].began, self._stopping], count=1)
        ends = [gevent.spawn(self._end, run) for run in runs]
        gevent.joinall(ends)
        self._shape.current = ()
        self._runner.stop()

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

    def _end(self, run: PhaseRun) -> None:
        """Wait until a phase is over, for whatever reason, and say so."""
        gevent.wait([run.finished, self._stopping], timeout=run.phase.timeout_s, count=1)
        self.crew.dismiss(run)
        self._mark()
        self.stream.emit(run.ended_line())

    def _mark(self) -> None:
        if self._watch is not None:
            self._watch.mark()

    def _error(self, message: str) -> None:
        self.stream.emit({"type": "error", "message": message, "fatal": False})

    def _on_run(self, names: list[str]) -> None:
        self._runs.put(names)

    def _on_unknown(self, line: str) -> None:
        self._error(f"unknown command {line[:100]!r}")

    def _on_spawning_complete(self, user_count: int) -> None:  # noqa: ARG002  # Locust passes it by name
        for run in self._runs_now:
            if not run.began.is_set():
                run.begin()
                self._mark()
                self.stream.emit(run.started_line())

    def _on_request(self, context: dict[str, object], **_facts: object) -> None:
        row = context["row"]
        assert isinstance(row, tuple)
        self.stream.row(row)
        run, name, error = context["run"], row[8], row[10]
        if error is not None and context["last"] and isinstance(run, PhaseRun):
            news = run.news(str(error), str(name))
            if news is not None:
                self._error(news)

    def _on_user_error(self, exception: BaseException, **_facts: object) -> None:
        self._fault = self._fault or exception
        self.stop()

    def _on_cpu_warning(self, cpu_usage: float, **_facts: object) -> None:
        if not self._cpu_warned:
            self._cpu_warned = True
            self._error(
                f"the load generator uses {cpu_usage:.0f} % of a CPU: rates and latencies may be its own limits"
            )
