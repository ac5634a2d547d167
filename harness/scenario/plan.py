"""The plan of the load: all that the load generator needs, resolved to the last name. Format in docs/architecture.md."""

from __future__ import annotations

from pathlib import Path

from harness.core.handles import JSON
from harness.core.ids import RUN_LABEL
from harness.scenario.model import Scenario
from harness.scenario.names import AnyStep, Phase, phases, steps, template
from harness.scenario.selection import Selection, selections
from harness.scenario.steps import Create, Flip

__all__ = ["SCHEMA", "build_plan", "steps"]

SCHEMA = "harness.plan/v1"


def build_plan(
    scenario: Scenario,
    *,
    run_id: str,
    origin_ns: int,
    server: str,
    ca_file: Path | str,
    cert_file: Path | str,
    key_file: Path | str,
    namespace: str,
) -> dict[str, JSON]:
    """`plan.json` for one run: the create and flip steps under the names that `steps` gives them."""
    chosen = {selection.place: selection for selection in selections(scenario, run_id)}
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "seed": scenario.seed,
        "origin_ns": origin_ns,
        "server": server,
        "ca_file": str(ca_file),
        "cert_file": str(cert_file),
        "key_file": str(key_file),
        "namespace": namespace,
        "labels": {RUN_LABEL: run_id},
        "phases": [
            _templated(scenario, phase.step, _phase(phase, phase.step, run_id, namespace, chosen.get(phase.place)))
            for phase in phases(scenario)
            if isinstance(phase.step, Create | Flip)
        ],
    }


def _phase(
    phase: Phase[AnyStep], step: Create | Flip, run_id: str, namespace: str, selection: Selection | None
) -> dict[str, JSON]:
    kind = step.resource
    return {
        "name": phase.name,
        "action": step.action,
        "kind": kind.alias,
        "api_version": kind.api_version,
        "object_kind": kind.kind,
        "path": kind.path(namespace),
        "namespaced": kind.namespaced,
        "count": step.count,
        "rate": step.rate,
        "concurrency": step.concurrency,
        "timeout_s": step.timeout,
        "names": template(kind, run_id, phase.ordinal if isinstance(step, Create) else 1),
        "params": {"labels": dict(step.labels)} if isinstance(step, Flip) else _create_params(step, selection),
    }


def _templated(scenario: Scenario, step: Create | Flip, phase: dict[str, JSON]) -> dict[str, JSON]:
    """A phase with the text of its template: what the record's plan holds is what ran, whatever becomes of the file."""
    if not isinstance(step, Create) or step.template is None:
        return phase
    template_: JSON = {
        "name": step.template,
        "text": scenario.templates[step.template],
        "params": dict(scenario.params),
    }
    params: JSON = {**_create_params(step, None), "template": template_}
    return {**phase, "params": params}


def _create_params(step: Create, selection: Selection | None) -> dict[str, JSON]:
    params: dict[str, JSON] = {}
    if step.labels:
        params["labels"] = dict(step.labels)
    if step.payload is not None:
        params["size"] = list(step.payload)
    if selection is not None:
        if selection.bundles is not None:
            params["bundles"] = selection.bundles
        params |= {
            "matching": list(selection.matching),
            "selector": dict(selection.selector),
            "other": dict(selection.other),
        }
    return params
