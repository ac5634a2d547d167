"""A scenario's load as cycles: create, settle, delete, settle and measure, over and over. What must come back is then known.

What cannot be deleted (Clusters, ServiceAccounts, what stands for good) is created once, before the first cycle. Each cycle makes
objects of new names, as life does: what a controller keeps by name, and never lets go, then grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.core import kinds
from harness.core.errors import UsageError
from harness.core.kinds import is_own
from harness.scenario.checks import check
from harness.scenario.model import Scenario
from harness.scenario.names import phases
from harness.scenario.population import is_open_ended
from harness.scenario.steps import Create, Failover, Flip, Hook, Parallel, Restart, Settle, Step
from harness.scenario.traffic import REMOVABLE, Churn, Delete, Pause, Watch

MOST_CYCLES = 500


@dataclass(frozen=True, slots=True)
class Cycled:
    """A scenario whose load is cycles."""

    scenario: Scenario
    objects: int
    """Created, and deleted again, in each cycle."""
    notes: tuple[str, ...]
    """What of the load was left out, in words."""
    naming_phase: str | None = None
    """The first phase of the cycles in which allocations are followed; None: there are none."""


def cycled(scenario: Scenario, cycles: int, *, naming: int = 0, quiet_for: float = 1.0) -> Cycled:
    """`cycles` cycles with a measuring point before the first and after each, then `naming` more that end with one point.

    Raises UsageError where the load leaves nothing that could be deleted.
    """
    with kinds.knowing(scenario.kinds):
        return _cycled(scenario, cycles, naming, quiet_for)


def _cycled(scenario: Scenario, cycles: int, naming: int, quiet_for: float) -> Cycled:
    notes: list[str] = []
    once, body = _parted(scenario, notes)
    made = [step for step in body if isinstance(step, Create)]
    if not made:
        raise UsageError(
            f"scenario {scenario.name} creates nothing that is deleted again",
            remedy="a cycle needs a create step of Secrets, GitRepos, Bundles or kinds of your own",
        )
    made_kinds = dict.fromkeys(step.kind for step in reversed(made))
    quiet = {"quiet_for": f"{quiet_for:g}s", "timeout": "2m"}
    rest = Settle.model_validate(quiet)
    cycle: list[Step] = [
        *body,
        *([] if isinstance(body[-1], Settle) else [rest]),
        *(Delete.model_validate({"kind": kind, "count": "all"}) for kind in made_kinds),
    ]
    cycle = [_hurried(step, quiet_for) for step in cycle]
    measured = Settle.model_validate({**quiet, "point": True})
    load: list[Step] = [*once, measured]
    for number in range(cycles):
        last = number == cycles - 1
        load += [*cycle, measured.model_copy(update={"trim": True}) if last else measured]
    first = len(load)
    for number in range(naming):
        load += [*cycle, measured if number == naming - 1 else rest]
    result = scenario.model_copy(update={"load": load, "expect": [], "gate": None, "engaged": _engaged(scenario)})
    result = Scenario.model_validate(result.model_dump(mode="json"))
    if problems := check(result):
        raise UsageError(f"the load of {scenario.name} cannot be repeated: {problems[0].cause}")
    return Cycled(
        result, sum(step.count for step in made), tuple(dict.fromkeys(notes)), _phase_of(result, first, naming)
    )


def _phase_of(scenario: Scenario, place: int, naming: int) -> str | None:
    return phases(scenario)[place].name if naming else None


def _parted(scenario: Scenario, notes: list[str]) -> tuple[list[Step], list[Step]]:
    """What is done once, and the body of a cycle."""
    once: list[Step] = []
    body: list[Step] = []
    for step in _flat(scenario, notes):
        if isinstance(step, Restart | Failover | Hook):
            raise UsageError(
                f"scenario {scenario.name} has a {step.action}, which is no part of a cycle that must come back",
                remedy="leave it out, or measure another scenario",
            )
        if isinstance(step, Create) and is_open_ended(step):
            raise UsageError(f"how much create-{step.kind} creates is not known", remedy="give it another rate")
        if isinstance(step, Create) and not (step.resource in REMOVABLE or is_own(step.resource)):
            once.append(_plain(step, notes))
        elif isinstance(step, Watch):
            once.append(step)
        elif isinstance(step, Settle) and not body:
            continue
        elif isinstance(step, Delete) and step.count is None:
            continue  # each cycle ends with it
        elif isinstance(step, Delete | Churn):
            body.append(step)
        else:
            body.append(_plain(step, notes))
    while body and isinstance(body[-1], Pause | Settle):
        body.pop()
    return once, body


def _flat(scenario: Scenario, notes: list[str]) -> Iterator[Step]:
    """Steps one after another: what ran at the same time must not decide what is there when it is deleted."""
    for step in scenario.load:
        if isinstance(step, Parallel):
            notes.append("parallel steps run one after another")
            yield from step.steps
        else:
            yield step


def _plain(step: Step, notes: list[str]) -> Step:
    """The step without what cannot be repeated."""
    if isinstance(step, Create | Flip) and step.probes:
        notes.append("probes are left out: latencies are not what is measured")
        step = step.model_copy(update={"probes": []})
    if isinstance(step, Create) and step.matching:
        notes.append(f"matching of {step.kind} is left out: what is deployed of deleted Bundles is not known")
        step = step.model_copy(update={"matching": None})
    return step


def _hurried(step: Step, quiet_for: float) -> Step:
    return (
        step.model_copy(update={"quiet_for": quiet_for, "point": False, "trim": False})
        if isinstance(step, Settle)
        else step
    )


def _engaged(scenario: Scenario) -> list[object]:
    """Signs of engagement that a load of cycles can still give."""
    return [item for item in scenario.engaged if not item.metric.startswith(("latency.", "completeness.", "failover."))]
