"""The plan of the load: all that the load generator needs, resolved to the last name. Format in docs/architecture.md."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.core.handles import JSON
from harness.core.ids import RUN_LABEL
from harness.scenario import registered, relations
from harness.scenario.model import Scenario
from harness.scenario.names import AnyStep, Phase, phases, spread_namespaces, template
from harness.scenario.population import Taking, churn_share, takings
from harness.scenario.rates import planned
from harness.scenario.selection import Selection, selections
from harness.scenario.sizes import Distribution
from harness.scenario.steps import BUNDLE, DEPLOYMENT, SMALLEST_BUNDLE, Create, Flip
from harness.scenario.traffic import Churn, List, Patch, Read, Traffic, Watch

SCHEMA = "harness.plan/v1"


def build_plan(
    scenario: Scenario,
    *,
    run_id: str,
    origin_ns: int,
    server: str,
    ca_file: Path | str,
    cert_file: Path | str | None,
    key_file: Path | str | None,
    namespace: str,
    token_file: Path | str | None = None,
    workers: int = 1,
    external: Mapping[str, JSON] | None = None,
) -> dict[str, JSON]:
    """`plan.json` for one run: the steps that send requests under the names that `phases` gives them.

    `workers` processes share each of them; `external` says where those of other machines come in.
    """
    chosen = {selection.place: selection for selection in selections(scenario, run_id)}
    taken = {taking.phase.place: taking for taking in takings(scenario)}
    spread = {
        phase.step.resource for phase in phases(scenario) if isinstance(phase.step, Create) and phase.step.namespaces
    }
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "seed": scenario.seed,
        "origin_ns": origin_ns,
        "server": server,
        "ca_file": str(ca_file),
        "cert_file": None if cert_file is None else str(cert_file),
        "key_file": None if key_file is None else str(key_file),
        "token_file": None if token_file is None else str(token_file),
        "namespace": namespace,
        "labels": {RUN_LABEL: run_id},
        "workers": workers,
        "external": None if external is None else dict(external),
        "phases": [
            _templated(
                scenario, phase.step, _phase(scenario, phase, phase.step, run_id, namespace, chosen.get(phase.place))
            )
            if isinstance(phase.step, Create | Flip)
            else _traffic(phase, phase.step, namespace, taken.get(phase.place), spread=phase.step.resource in spread)
            for phase in phases(scenario)
            if isinstance(phase.step, Create | Flip | Traffic)
        ],
    }


def _traffic(
    phase: Phase[AnyStep], step: Traffic, namespace: str, taking: Taking | None, *, spread: bool
) -> dict[str, JSON]:
    """A phase about objects that are there. Its own names and path are of use only where it is about the collection."""
    count, params = _taken(step, taking) if taking is not None else _collection(step)
    # What the controller makes, and what is spread, is in more namespaces than the run's.
    everywhere = spread or step.resource == DEPLOYMENT
    return {
        "name": phase.name,
        "action": step.action,
        "kind": step.resource.alias,
        "api_version": step.resource.api_version,
        "object_kind": step.resource.kind,
        "path": step.resource.path(None if everywhere else namespace),
        "namespaced": step.resource.namespaced,
        "count": count,
        "rate": planned(step.rate),
        "concurrency": step.concurrency,
        "timeout_s": step.timeout,
        "names": f"{phase.name.lower()}-{{i:05d}}",
        "params": params,
    }


def _taken(step: Traffic, taking: Taking) -> tuple[int, dict[str, JSON]]:
    objects: list[JSON] = [
        {"phase": part.phase, "indexes": [list(each) for each in part.ranges]} for part in taking.taken
    ]
    params: dict[str, JSON] = {"objects": objects}
    if isinstance(step, Churn):
        share = churn_share(step, taking.there)
        params |= {"share": share, "cycles": step.cycles, "delay_s": step.delay}
        return 2 * share * step.cycles, params
    if isinstance(step, Patch):
        params["body"] = step.body
    return step.count if isinstance(step, Read) else taking.count, params


def _collection(step: Traffic) -> tuple[int, dict[str, JSON]]:
    params: dict[str, JSON] = {}
    assert isinstance(step, List | Watch)
    if step.selector:
        params["selector"] = dict(step.selector)
    if step.metadata_only:
        params["metadata_only"] = True
    if isinstance(step, Watch):
        return step.watchers, params
    if step.page_size is not None:
        params["page_size"] = step.page_size
    return step.count, params


def _phase(
    scenario: Scenario,
    phase: Phase[AnyStep],
    step: Create | Flip,
    run_id: str,
    namespace: str,
    selection: Selection | None,
) -> dict[str, JSON]:
    kind = step.resource
    if isinstance(step, Flip):
        params: dict[str, JSON] = {"labels": dict(step.labels)}
    else:
        own = Phase(phase.place, phase.name, step, phase.ordinal, phase.group, phase.path)
        params = _create_params(step, selection) | relations.planned(scenario, own, run_id)
        if step.registers:
            params |= registered.planned(namespace)
    return {
        "name": phase.name,
        "action": step.action,
        "kind": kind.alias,
        "api_version": kind.api_version,
        "object_kind": kind.kind,
        "path": kind.path(namespace),
        "namespaced": kind.namespaced,
        "count": step.count,
        "rate": planned(step.rate),
        "concurrency": step.concurrency,
        "timeout_s": step.timeout,
        **_paths(step, namespace),
        "names": template(kind, run_id, phase.ordinal if isinstance(step, Create) else 1),
        "params": params,
    }


def _paths(step: Create | Flip, namespace: str) -> dict[str, JSON]:
    """The collections of objects that are spread over namespaces."""
    spread = (step.namespaces or 1) if isinstance(step, Create) else 1
    if spread == 1:
        return {}
    return {"paths": [step.resource.path(name) for name in spread_namespaces(namespace, spread)]}


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
        payload = step.payload
        smallest = SMALLEST_BUNDLE if step.resource == BUNDLE else 1
        params["size"] = payload.planned(smallest) if isinstance(payload, Distribution) else list(payload)
    if selection is not None:
        if selection.bundles is not None:
            params["bundles"] = selection.bundles
        params |= {
            "matching": list(selection.matching),
            "selector": dict(selection.selector),
            "other": dict(selection.other),
        }
    return params
