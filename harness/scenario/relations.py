"""Relations between the objects of a load: a GitRepo with its Secret, an InferenceService with its ServiceAccount, and that
with its Secrets.

The objects that are referred to are those of the last earlier step that creates their kind. Object i refers to number i of
them, modulo their number; a ServiceAccount has all Secrets whose number is its own, modulo the number of ServiceAccounts.
"""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.handles import JSON
from harness.scenario import names, population
from harness.scenario.model import Scenario
from harness.scenario.names import Phase
from harness.scenario.problems import Problem
from harness.scenario.steps import Create


def used(scenario: Scenario, phase: Phase[Create]) -> Phase[Create] | None:
    """The step whose objects those of `phase` refer to; None where it names none, or there is no such step."""
    earlier = [
        each
        for each in names.creates(scenario)
        if each.step.kind == phase.step.uses and each.group < phase.group and each.step.count
    ]
    return earlier[-1] if earlier else None


def planned(scenario: Scenario, phase: Phase[Create], run_id: str) -> dict[str, JSON]:
    """The names that a plan's phase refers to; nothing where it refers to none."""
    other = used(scenario, phase)
    if other is None:
        return {}
    return {"uses": {"names": names.template(other.step.resource, run_id, other.ordinal), "count": other.step.count}}


def check(scenario: Scenario) -> Iterator[Problem]:
    """What is referred to must be there before, in the same namespace, and in a known number."""
    for phase in names.creates(scenario):
        step, path = phase.step, (*phase.path, "create", "uses")
        if step.uses is None:
            continue
        other = used(scenario, phase)
        if other is None:
            yield Problem(path, f"no earlier step creates {step.uses}", f"create it before {step.kind}")
        elif (other.step.namespaces or 1) > 1:
            cause = f"the {step.uses} are spread over namespaces, and {step.kind} can only use one of its own"
            yield Problem(path, cause, "leave namespaces out of the step that creates them")
        elif population.is_open_ended(other.step):
            yield Problem(path, f"how many {step.uses} there will be is not known", "create them at another rate")
