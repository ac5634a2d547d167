"""The plan under somebody else's Locust: `LOADGEN_PLAN=plan.json locust -f loadgen/locustfile.py`, with its web page.

The phases run one after another when the test is started, as often as it is started. What Locust shows are its own
statistics; nothing is recorded.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

import gevent

from loadgen.crew import Crew, StandingCrew
from loadgen.fields import PlanError
from loadgen.phaserun import WHOLE
from loadgen.plan import load

WRONG_PLAN = 2

log = logging.getLogger("loadgen")


def attach(environment: Any, plan_file: str) -> None:  # noqa: ANN401  # Locust's own, untyped to us
    """Make a plan the load of a Locust environment. Ends the process with one line where the plan is wrong."""
    try:
        plan = load(Path(plan_file))
        crew = Crew(plan, lambda: time.monotonic_ns() - plan.origin_ns, on_error=log.error)
    except PlanError as fault:
        sys.stderr.write(f"LOADGEN_PLAN: {fault}\n")
        sys.exit(WRONG_PLAN)
    environment.crew = HandCrew(crew)
    environment.shape_class.current = (environment.crew,)
    environment.events.test_start.add_listener(environment.crew.start)
    environment.events.test_stop.add_listener(environment.crew.stop)
    environment.events.quit.add_listener(lambda **_facts: crew.close())


class HandCrew(StandingCrew):
    """Lets the users of one Locust test work through all phases of the plan, one after another.

    To the shape it is one phase: `workers` users are wanted until it is `finished`.
    """

    def __init__(self, crew: Crew) -> None:
        super().__init__(crew)
        self._leader: gevent.Greenlet | None = None

    @property
    def workers(self) -> int:
        """As many as the phase that needs the most."""
        return max((WHOLE.places(phase) for phase in self.crew.plan.phases.values()), default=1)

    def start(self, **_facts: object) -> None:
        """Locust's test begins."""
        self._leader = gevent.spawn(self._lead)

    def stop(self, **_facts: object) -> None:
        """Locust's test ends; it may be started again."""
        if self._leader is not None:
            self._leader.kill(block=False)
        for run in self.crew.current:
            run.close()
        self.finished.clear()

    def _lead(self) -> None:
        for name, phase in self.crew.plan.phases.items():
            (run,) = self.prepare([name])
            run.begin()
            run.finished.wait(phase.timeout_s)
            run.close()
            log.warning("%s: %d of %d done, %d failed", name, run.done, phase.count, run.failed)
        self.end()
