"""The crew: gives each Locust user a place in one of the phases under way, and the means to work there.

A user's life is one phase where Locust starts a test for each. A standing crew's users stay: they take a place in each
phase that has one for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import gevent
from gevent.event import Event

from loadgen.actions import Action, Request, action_of
from loadgen.phaserun import WHOLE, PhaseRun, Share
from loadgen.plan import Plan
from loadgen.transport import Transport
from loadgen.verdicts import Answer
from loadgen.watchers import Watchers
from loadgen.worker import Fire, Worker

MOST_AT_ONCE = 10
"""Phases that may run at the same time."""


class _Dismissed(BaseException):
    """Thrown into a user whose phase is over: it leaves its place, whatever it waits for."""


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
        share: Share = WHOLE,
    ) -> None:
        self.plan = plan
        self.share = share
        self.current: Sequence[PhaseRun] = ()
        self._now_ns = now_ns
        self._wait_for_room = wait_for_room
        self._actions: Mapping[str, Action] = {name: action_of(plan, phase) for name, phase in plan.phases.items()}
        self._greenlets: dict[PhaseRun, list[gevent.Greenlet]] = {}
        phases = plan.phases.values()
        watchers = sum(len(share.indexes(phase)) for phase in phases if phase.action == "watch")
        self._transport = Transport(plan, size=places(plan, share), watchers=watchers)
        self._watchers = Watchers(self._transport, now_ns, report, on_error)

    def prepare(self, names: Sequence[str]) -> list[PhaseRun]:
        """The phases of these names, ready to begin."""
        self.current = [
            PhaseRun(self.plan.phases[name], self._actions[name], self._now_ns, self.plan.seed, self.share)
            for name in names
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
        except _Dismissed:
            pass
        finally:
            greenlets.remove(gevent.getcurrent())

    def dismiss(self, run: PhaseRun) -> None:
        """End a phase as it stands: no request begins, those under way are broken off."""
        run.close()
        while greenlets := self._greenlets.get(run):
            gevent.killall(list(greenlets), _Dismissed, block=False)
            gevent.sleep(0)

    def close(self) -> None:
        """Hang up."""
        self._watchers.close()
        self._transport.close()

    def _send(self, request: Request) -> Answer:
        if request.verb == "watch":
            return self._watchers.start(request)
        return self._transport.send(request.method, request.path, request.body, request.content_type, request.accept)


class StandingCrew:
    """A crew whose users stay for phase after phase, until it is over."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.finished = Event()
        self._next = Event()

    def work(self, fire: Fire) -> None:
        """A user's whole life: a place in each phase that has one for it."""
        while not self.finished.is_set():
            following = self._next
            self.crew.work(fire)
            following.wait()

    def prepare(self, names: Sequence[str]) -> list[PhaseRun]:
        """The phases of these names; the users take their places in them."""
        runs = self.crew.prepare(names)
        previous, self._next = self._next, Event()
        previous.set()
        return runs

    def end(self) -> None:
        """Let the users go when their phase is over."""
        self.finished.set()
        self._next.set()


def places(plan: Plan, share: Share) -> int:
    """Users that are enough for whatever phases of a plan run at the same time, in a process with that share of them.

    Which do is only known when they are asked for.
    """
    needed = (share.places(phase) for phase in plan.phases.values())
    return max(1, sum(sorted(needed, reverse=True)[:MOST_AT_ONCE]))
