"""The crew: gives each Locust user a place in one of the phases under way, and the means to work there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import gevent

from loadgen.actions import Action, Request, action_of
from loadgen.phaserun import PhaseRun
from loadgen.plan import Plan
from loadgen.transport import Transport
from loadgen.verdicts import Answer
from loadgen.watchers import Watchers
from loadgen.worker import Fire, Worker

MOST_AT_ONCE = 10
"""Phases that may run at the same time."""


class Crew:
    """What all workers of a plan share. Raises PlanError at once for what is wrong with the plan or its credentials."""

    def __init__(
        self,
        plan: Plan,
        now_ns: Callable[[], int],
        *,
        wait_for_room: Callable[[], None] = lambda: None,
        report: Callable[[Mapping[str, object]], None] = lambda _line: None,
        on_error: Callable[[str], None] = lambda _message: None,
    ) -> None:
        self.plan = plan
        self.current: Sequence[PhaseRun] = ()
        self._now_ns = now_ns
        self._wait_for_room = wait_for_room
        self._actions: Mapping[str, Action] = {name: action_of(plan, phase) for name, phase in plan.phases.items()}
        self._greenlets: dict[PhaseRun, list[gevent.Greenlet]] = {}
        phases = plan.phases.values()
        # Phases may run at the same time; which do is only known when they are asked for.
        size = max(1, sum(sorted((phase.concurrency for phase in phases), reverse=True)[:MOST_AT_ONCE]))
        watchers = sum(phase.count for phase in phases if phase.action == "watch")
        self._transport = Transport(plan, size=size, watchers=watchers)
        self._watchers = Watchers(self._transport, now_ns, report, on_error)

    def prepare(self, names: Sequence[str]) -> list[PhaseRun]:
        """The phases of these names, ready to begin."""
        self.current = [
            PhaseRun(self.plan.phases[name], self._actions[name], self._now_ns, self.plan.seed) for name in names
        ]
        return list(self.current)

    def work(self, fire: Fire) -> None:
        """Take a free place, work until its phase has no more requests."""
        run = next((run for run in self.current if run.free_places > 0), None)
        if run is None:
            return
        greenlets = self._greenlets.setdefault(run, [])
        greenlets.append(gevent.getcurrent())
        try:
            Worker(run, self._send, self._now_ns, fire).work(self._wait_for_room)
        finally:
            greenlets.remove(gevent.getcurrent())

    def dismiss(self, run: PhaseRun) -> None:
        """End a phase as it stands: no request begins, those under way are broken off."""
        run.close()
        gevent.killall(list(self._greenlets.get(run, ())))

    def close(self) -> None:
        """Hang up."""
        self._watchers.close()
        self._transport.close()

    def _send(self, request: Request) -> Answer:
        if request.verb == "watch":
            return self._watchers.start(request)
        return self._transport.send(request.method, request.path, request.body, request.content_type, request.accept)
