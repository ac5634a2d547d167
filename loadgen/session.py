"""A session: Locust as a library, driven by the harness's commands.

Each phase is one Locust load test: the shape asks for its workers, `spawning_complete` starts its clock, and the
session stops the test when every request is settled, the phase's time is over, or all is to end.
"""

from __future__ import annotations

import time

import gevent
from gevent.event import Event
from gevent.queue import Queue
from locust.env import Environment

from loadgen.actions import action_of
from loadgen.control import Control
from loadgen.locustfile import LoadUser, PlanShape
from loadgen.phaserun import PhaseRun
from loadgen.plan import Plan
from loadgen.selfwatch import SelfWatch
from loadgen.stream import Stream
from loadgen.transport import Transport

LAST_WORDS_S = 1.0
"""How long the end waits for the reader of the stream; the whole end is promised within two seconds."""


class BrokenWorker(Exception):
    """A worker raised what it should have handled: a bug of the load generator."""


class Session:
    """One plan being carried out. Raises PlanError at once for what is wrong with the plan or its credentials."""

    def __init__(self, plan: Plan, stream: Stream) -> None:
        self.plan = plan
        self.stream = stream
        self.current: PhaseRun | None = None
        self._actions = {name: action_of(plan, phase) for name, phase in plan.phases.items()}
        self._ran: set[str] = set()
        self._runs: Queue = Queue()
        self._stopping = Event()
        self._fault: BaseException | None = None
        self._cpu_warned = False
        self._watch: SelfWatch | None = None
        self.transport = Transport(plan, size=max((phase.concurrency for phase in plan.phases.values()), default=1))
        self._shape = PlanShape()
        self._environment = Environment(user_classes=[LoadUser], shape_class=self._shape, host=plan.server)
        self._environment.session = self
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
            while (name := self._runs.get()) is not None and not self._stopping.is_set():
                self._run_phase(name)
        finally:
            control.close()
            watch.close()
            self._runner.quit()
            self.transport.close()
        if self._fault is not None:
            raise BrokenWorker(f"{type(self._fault).__name__}: {self._fault}") from self._fault

    def _run_phase(self, name: str) -> None:
        phase = self.plan.phases.get(name)
        if phase is None or name in self._ran:
            why = "has already run" if phase is not None else f"is not in the plan ({', '.join(self.plan.phases)})"
            self._error(f"phase {name!r} {why}")
            return
        self._ran.add(name)
        run = PhaseRun(phase, self._actions[name], self.now_ns)
        self.current = self._shape.current = run
        self._runner.start_shape()
        gevent.wait([run.began, self._stopping], count=1)
        gevent.wait([run.finished, self._stopping], timeout=phase.timeout_s, count=1)
        self._shape.current = None
        self._runner.stop()
        self._mark()
        self.stream.emit(run.ended_line())

    def _mark(self) -> None:
        if self._watch is not None:
            self._watch.mark()

    def _error(self, message: str) -> None:
        self.stream.emit({"type": "error", "message": message, "fatal": False})

    def _on_run(self, name: str) -> None:
        self._runs.put(name)

    def _on_unknown(self, line: str) -> None:
        self._error(f"unknown command {line[:100]!r}")

    def _on_spawning_complete(self, user_count: int) -> None:  # noqa: ARG002  # Locust passes it by name
        run = self.current
        if run is not None and not run.began.is_set():
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
