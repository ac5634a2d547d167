"""What the harness's own identities must be allowed beyond their roles: nothing that the scenario does not need."""

from __future__ import annotations

from harness.core.kinds import Kind, is_own
from harness.scenario import fanout
from harness.scenario.model import Scenario
from harness.scenario.names import phases
from harness.scenario.steps import Create, Flip
from harness.scenario.traffic import Traffic

_VERBS = {
    "create": ("create",),
    "flip": ("patch",),
    "delete": ("delete",),
    "patch": ("patch",),
    "read": ("get",),
    "list": ("list",),
    "churn": ("delete", "create"),
    "watch": ("watch",),
}
_SEE = ("list", "watch")


def of_load(scenario: Scenario) -> dict[Kind, tuple[str, ...]]:
    """Verbs of the load generator: what its steps do, on own kinds and on whatever a template makes."""
    rights: dict[Kind, tuple[str, ...]] = {}
    for phase in phases(scenario):
        step = phase.step
        if not isinstance(step, Create | Flip | Traffic):
            continue
        if is_own(step.resource) or getattr(step, "template", None) is not None:
            known = rights.get(step.resource, ())
            rights[step.resource] = tuple(dict.fromkeys((*known, *_VERBS[step.action])))
    return rights


def of_watcher(scenario: Scenario) -> dict[Kind, tuple[str, ...]]:
    """Verbs of the harness's eyes: to see the own kinds that the load or a probe is about."""
    return {kind: _SEE for kind in fanout.scenario_kinds(scenario) if is_own(kind)}
