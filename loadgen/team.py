"""Who carries out the phases of a session: this process alone, as Locust's local runner, or a master's load workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gevent.event import Event
from locust.env import Environment

from loadgen.crew import Crew
from loadgen.locustfile import LoadUser, PlanShape
from loadgen.phaserun import PhaseRun
from loadgen.plan import Phase, Plan
from loadgen.selfwatch import SelfWatch


class Running(Protocol):
    """A phase under way: `began` opens when its clock starts, `finished` when every request is settled or none is to come."""

    phase: Phase
    began: Event
    finished: Event

    def started_line(self) -> dict[str, object]:
        """The stream's line that it began."""

    def ended_line(self) -> dict[str, object]:
        """The stream's line that it ended, however it did."""


class Team(Protocol):
    """What a session needs of those who work for it."""

    def ready(self) -> None:
        """Block until they can take phases. Raises PlanError."""

    def start(self, names: Sequence[str]) -> Sequence[Running]:
        """Let phases begin, at the same time."""

    def dismiss(self, run: Running) -> None:
        """End a phase as it stands: no request begins, those under way are broken off."""

    def rest(self) -> None:
        """All phases that were started are over."""

    def mark(self) -> None:
        """Say at once what the load generator has cost so far."""

    def close(self) -> None:
        """Hang up."""


@dataclass(frozen=True, slots=True)
class Calls:
    """What a team tells its session."""

    now_ns: Callable[[], int]
    report: Callable[[Mapping[str, object]], None]
    """A line for the harness."""
    row: Callable[[Sequence[object]], None]
    wait_for_room: Callable[[], None]
    began: Callable[[Running], None]
    error: Callable[[str], None]
    broken: Callable[[BaseException], None]
    """A bug of the load generator."""
    stopping: Event
    """All is to end."""


def tell_rows(
    row: Callable[[Sequence[object]], None], news: Callable[[PhaseRun, str, str], None]
) -> Callable[..., None]:
    """A listener of Locust's `request` event: passes rows on, and the errors of requests that were given up."""

    def on_request(context: dict[str, object], **_facts: object) -> None:
        facts, run = context["row"], context["run"]
        assert isinstance(facts, tuple)
        row(facts)
        name, error = facts[8], facts[10]
        if error is not None and context["last"] and isinstance(run, PhaseRun):
            news(run, str(error), str(name))

    return on_request


class LocalTeam:
    """One process. Each phase, or group of phases that run at the same time, is one Locust load test.

    The shape asks for its users and `spawning_complete` starts its clock. Raises PlanError for what is wrong with the plan.
    """

    def __init__(self, plan: Plan, calls: Calls) -> None:
        self._calls = calls
        self._crew = Crew(
            plan, calls.now_ns, wait_for_room=calls.wait_for_room, report=calls.report, on_error=calls.error
        )
        self._runs: Sequence[PhaseRun] = ()
        self._watch: SelfWatch | None = None
        self._cpu_warned = False
        self._shape = PlanShape()
        environment = Environment(user_classes=[LoadUser], shape_class=self._shape, host=plan.server)
        environment.crew = self._crew
        environment.events.request.add_listener(tell_rows(calls.row, self._news))
        environment.events.user_error.add_listener(self._on_user_error)
        environment.events.cpu_warning.add_listener(self._on_cpu_warning)
        self._runner = environment.create_local_runner()
        # After the runner's own listener, so that the test counts as running when the workers are let go.
        environment.events.spawning_complete.add_listener(self._on_spawning_complete)

    def ready(self) -> None:
        """It is at once; from now on it says what it costs."""
        self._watch = SelfWatch(self._calls.now_ns, self._calls.report)

    def start(self, names: Sequence[str]) -> Sequence[PhaseRun]:
        """Let phases begin, at the same time."""
        self._runs = self._crew.prepare(names)
        self._shape.current = self._runs
        self._runner.start_shape()
        return self._runs

    def dismiss(self, run: Running) -> None:
        """End a phase as it stands."""
        assert isinstance(run, PhaseRun)
        self._crew.dismiss(run)

    def rest(self) -> None:
        """End Locust's test."""
        self._shape.current = ()
        self._runner.stop()

    def mark(self) -> None:
        """Say at once what the load generator has cost so far."""
        if self._watch is not None:
            self._watch.mark()

    def close(self) -> None:
        """Hang up."""
        if self._watch is not None:
            self._watch.close()
        self._runner.quit()
        self._crew.close()

    def _news(self, run: PhaseRun, error: str, name: str) -> None:
        told = run.news(error, name)
        if told is not None:
            self._calls.error(told)

    def _on_spawning_complete(self, user_count: int) -> None:  # noqa: ARG002  # Locust passes it by name
        for run in self._runs:
            if not run.began.is_set():
                run.begin()
                self._calls.began(run)

    def _on_user_error(self, exception: BaseException, **_facts: object) -> None:
        self._calls.broken(exception)

    def _on_cpu_warning(self, cpu_usage: float, **_facts: object) -> None:
        if not self._cpu_warned:
            self._cpu_warned = True
            self._calls.error(
                f"the load generator uses {cpu_usage:.0f} % of a CPU: rates and latencies may be its own limits"
            )
