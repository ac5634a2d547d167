"""A scenario's load as a cold start: grow into N, then start again with N present, then lose every watch at once."""

from __future__ import annotations

from dataclasses import dataclass

from harness.core import kinds
from harness.core.errors import UsageError
from harness.scenario.checks import check
from harness.scenario.model import Scenario
from harness.scenario.population import is_open_ended
from harness.scenario.steps import Create, Flip, Parallel, Restart, Settle, Step

MOST_STARTS = 50
STORM_QUIET_S = 10.0
"""After a storm clients come back one by one: a server that has just begun refuses them, and they wait longer each time."""


@dataclass(frozen=True, slots=True)
class Cold:
    """A scenario of cold starts."""

    scenario: Scenario
    objects: int
    notes: tuple[str, ...]
    """What of the load was left out, in words."""


def cold(scenario: Scenario, restarts: int, storms: int, *, quiet_for: float = 2.0) -> Cold:
    """What the scenario creates, then `restarts` restarts of the subject and `storms` of the API server, a point after each.

    Raises UsageError where it creates nothing.
    """
    with kinds.knowing(scenario.kinds):
        notes: list[str] = []
        made = _made(scenario, notes)
        if not made:
            raise UsageError(f"scenario {scenario.name} creates nothing that could be there at a start")
        settle = {"quiet_for": f"{quiet_for:g}s", "timeout": "10m"}
        point = Settle.model_validate({**settle, "point": True})
        load: list[Step] = [*made, point]
        for _ in range(restarts):
            load += [Restart(signal="KILL"), point]
        later = point.model_copy(update={"quiet_for": max(quiet_for, STORM_QUIET_S)})
        for _ in range(storms):
            load += [Restart(of="apiserver"), later]
        engaged = [each for each in scenario.engaged if not each.metric.startswith(("latency.", "failover."))]
        drafted = scenario.model_copy(update={"load": load, "expect": [], "gate": None, "engaged": engaged})
        result = Scenario.model_validate(drafted.model_dump(mode="json"))
        if problems := check(result):
            raise UsageError(f"{scenario.name} cannot be started cold: {problems[0].cause}")
        return Cold(result, sum(step.count for step in made), tuple(dict.fromkeys(notes)))


def _made(scenario: Scenario, notes: list[str]) -> list[Create]:
    made: list[Create] = []
    flips = any(isinstance(step, Flip) for step in scenario.load)
    for step in scenario.load:
        for each in step.steps if isinstance(step, Parallel) else [step]:
            if not isinstance(each, Create):
                notes.append(f"{each.action} is left out") if not isinstance(each, Settle) else None
                continue
            if is_open_ended(each):
                raise UsageError(f"how much create-{each.kind} creates is not known", remedy="give it another rate")
            kept = each.model_copy(update={"probes": [], **({"matching": None} if flips else {})})
            made.append(kept)
    if flips:
        notes.append("matching is left out with the flip")
    return made
