"""Actions: what one request of a phase is, from its index alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loadgen.builders import builder_of
from loadgen.fields import Fields, PlanError
from loadgen.plan import Phase, Plan


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent. `verb` is Kubernetes' word for it, as in audit lines."""

    verb: str
    method: str
    path: str
    name: str
    content_type: str
    body: bytes


Action = Callable[[int], Request]
"""Index in [0, count) -> the request. Raises TemplateFault where a user's template gives none."""


def action_of(plan: Plan, phase: Phase) -> Action:
    """The action of a phase. Raises PlanError for an unknown action and for wrong params."""
    make = ACTIONS.get(phase.action)
    if make is None:
        raise PlanError(f"{phase.place}.action: unknown {phase.action!r}; known are {', '.join(sorted(ACTIONS))}")
    return make(plan, phase)


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _create(plan: Plan, phase: Phase) -> Action:
    build = builder_of(plan, phase)

    def request(index: int) -> Request:
        return Request("create", "POST", phase.path, phase.object_name(index), "application/json", build(index))

    return request


def _flip(_plan: Plan, phase: Phase) -> Action:
    """Merge labels into objects 0 to count-1, each once."""
    params = Fields(phase.params, f"{phase.place}.params")
    body = _encode({"metadata": {"labels": dict(params.labels("labels"))}})
    params.done()

    def request(index: int) -> Request:
        name = phase.object_name(index)
        return Request("patch", "PATCH", f"{phase.path}/{name}", name, "application/merge-patch+json", body)

    return request


ACTIONS: Mapping[str, Callable[[Plan, Phase], Action]] = {"create": _create, "flip": _flip}
