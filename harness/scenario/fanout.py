"""What must exist because of the load.

Computed from the scenario alone and never from what the subject reports, so that lost work cannot look like a saving. The
rules are Fleet's: a GitRepo makes its Bundles, a management Cluster its Fleet Cluster, and a Bundle one BundleDeployment
on every Cluster whose labels its target selects.
"""

from __future__ import annotations

from collections import Counter

from harness.core.handles import Expected, ProbeSpec, Target
from harness.core.ids import RUN_LABEL, namespace_of
from harness.core.kinds import Kind, is_own
from harness.scenario import controllers, population
from harness.scenario.model import Scenario
from harness.scenario.names import (
    BUNDLE_LABEL,
    BUNDLE_NAMESPACE_LABEL,
    CLUSTER_LABEL,
    Phase,
    cause_names,
    causing,
    phases,
)
from harness.scenario.selection import Selection, histories, selections, selects
from harness.scenario.steps import (
    BUNDLE,
    DEPLOYMENT,
    FLEET_CLUSTER,
    GITREPO,
    MANAGEMENT_CLUSTER,
    Create,
    Flip,
    Probe,
    Until,
)
from harness.scenario.traffic import Delete

NO_RUN = "00000000-000000-00000"
"""Stands for the run id where only numbers are asked for."""


def expected(scenario: Scenario, run_id: str) -> list[Expected]:
    """The objects that must have come to exist by the end, by kind; kinds of which the load makes none are left out.

    Where the load deletes some, it is those that must be there at the end, no fewer and no more.
    """
    namespace = namespace_of(run_id)
    counts = Counter(_created(scenario))
    gone = _gone(scenario)
    final = {*population.deleted_kinds(scenario), *gone}
    consequences = _consequences(scenario)
    if GITREPO in final and consequences:
        final.add(BUNDLE)
    made = dict(counts)
    for step in _creates(scenario) if consequences else ():
        if step.resource == GITREPO:
            counts[BUNDLE] += step.count * (step.bundles or 1)
        elif step.resource == MANAGEMENT_CLUSTER:
            counts[FLEET_CLUSTER] += step.count
    counts[DEPLOYMENT] += deployments(scenario) if consequences else 0
    spread = {step.resource for step in _creates(scenario) if (step.namespaces or 1) > 1}
    unknown = {step.resource for step in _creates(scenario) if population.is_open_ended(step)}
    result = []
    passing_kinds = passing(scenario)
    for kind, count in counts.items():
        if kind == DEPLOYMENT:
            # They live in the namespace that the controller gives each Fleet Cluster.
            where, labels = None, {BUNDLE_NAMESPACE_LABEL: namespace}
        else:
            where = namespace if kind.namespaced and kind not in spread else None
            labels = {RUN_LABEL: run_id} if made.get(kind) == count else {}
        if count and kind not in unknown:
            remaining = is_own(kind) and kind not in passing_kinds
            result.append(
                Expected(kind, count - gone.get(kind, 0), where, labels, final=kind in final, remaining=remaining)
            )
    return result


def _consequences(scenario: Scenario) -> bool:
    return controllers.makes_bundles(scenario.subject.controller)


def _gone(scenario: Scenario) -> dict[Kind, int]:
    """How many objects of each kind are there no more at the end, with the Bundles of deleted GitRepos."""
    made = {phase.name: phase.step for phase in phases(scenario) if isinstance(phase.step, Create)}
    gone: Counter[Kind] = Counter()
    for taking in population.takings(scenario):
        if isinstance(taking.step, Delete):
            for part in taking.taken:
                step = made[part.phase]
                gone[step.resource] += part.count
                if step.resource == GITREPO and _consequences(scenario):
                    gone[BUNDLE] += part.count * (step.bundles or 1)
    return gone


def passing(scenario: Scenario) -> set[Kind]:
    """Kinds of which a probe awaits that objects of the load are deleted: they need not be there at the end."""
    return {
        probe.until.resource
        for phase in causing(scenario)
        for probe in phase.step.probes
        if probe.until.deleted and probe.until.resource == phase.step.resource
    }


def scenario_kinds(scenario: Scenario) -> list[Kind]:
    """Every kind the load creates or brings about: watched for quiet and for completeness."""
    kinds = dict.fromkeys(_created(scenario))
    if _consequences(scenario):
        if MANAGEMENT_CLUSTER in kinds:
            kinds[FLEET_CLUSTER] = None
        if GITREPO in kinds:
            kinds[BUNDLE] = None
        if BUNDLE in kinds and FLEET_CLUSTER in kinds:
            kinds[DEPLOYMENT] = None
    for phase in causing(scenario):
        kinds |= dict.fromkeys(probe.until.resource for probe in phase.step.probes)
    return list(kinds)


def probes(scenario: Scenario, run_id: str) -> list[ProbeSpec]:
    """The latency probes with their targets: one for each flipped Cluster and each object that its flip concerns.

    What follows from Fleet's rules is computed; else a cause has one effect, of its own name unless the probe says otherwise.
    """
    result = []
    chosen = selections(scenario, run_id)
    for phase in causing(scenario):
        step, names = phase.step, cause_names(phase, run_id)
        for probe in step.probes:
            until = probe.until
            if isinstance(step, Flip) and until.by_rule:
                targets = (
                    _deployment_targets(scenario, chosen, phase.place, names)
                    if until.resource == DEPLOYMENT
                    else [_copy_target(names.format(i=index), step) for index in range(step.count)]
                )
            else:
                targets = [_target(until, step.resource, names.format(i=index)) for index in range(step.count)]
            result.append(
                ProbeSpec(
                    probe.name,
                    phase.name,
                    until.resource,
                    until.condition,
                    targets,
                    jsonpath=until.jsonpath,
                    equals=until.equals,
                    deleted=until.deleted,
                )
            )
    return result


def target_count(scenario: Scenario, phase: Phase[Create | Flip], probe: Probe) -> int:
    """How many targets a probe of a step has, without making them."""
    if isinstance(phase.step, Create) or not (probe.until.by_rule and probe.until.resource == DEPLOYMENT):
        return phase.step.count
    return sum(
        len(indexes) * selection.bundle_count
        for indexes, selection in _concerned(scenario, selections(scenario, NO_RUN), phase.place)
    )


def deployments(scenario: Scenario) -> int:
    """How many BundleDeployments must have come to exist: pairs of Cluster and Bundle that matched at some time."""
    return sum(
        len(indexes) * selection.bundle_count
        for selection in selections(scenario, NO_RUN)
        for indexes, history in histories(scenario)
        if _ever(selection, history)
    )


def _creates(scenario: Scenario) -> list[Create]:
    return [phase.step for phase in phases(scenario) if isinstance(phase.step, Create) and phase.step.count]


def _created(scenario: Scenario) -> dict[Kind, int]:
    counts: dict[Kind, int] = {}
    for step in _creates(scenario):
        counts[step.resource] = counts.get(step.resource, 0) + step.count
    return counts


def _ever(selection: Selection, history: list[tuple[int, dict[str, str]]]) -> bool:
    """Whether the labels matched at any time at which both the Clusters and the Bundles existed."""
    at_creation = [labels for place, labels in history if place < selection.place][-1:]
    later = [labels for place, labels in history if place > selection.place]
    return any(selects(selection.selector, labels) for labels in [*at_creation, *later])


def _concerned(scenario: Scenario, chosen: list[Selection], place: int) -> list[tuple[range, Selection]]:
    """Clusters and steps whose Bundles begin to match by the flip at `place`: what matched before is no effect of it."""
    result = []
    for indexes, history in histories(scenario):
        before = [labels for index, labels in history if index < place]
        after = [labels for index, labels in history if index == place]
        if not before or not after:
            continue
        result += [
            (indexes, selection)
            for selection in chosen
            if selection.place < place
            and selects(selection.selector, after[0])
            and not selects(selection.selector, before[-1])
        ]
    return result


def _deployment_targets(scenario: Scenario, chosen: list[Selection], place: int, names: str) -> list[Target]:
    targets = []
    for indexes, selection in _concerned(scenario, chosen, place):
        bundles = selection.bundle_names()
        for index in indexes:
            cluster = names.format(i=index)
            targets += [Target(cluster, {BUNDLE_LABEL: bundle, CLUSTER_LABEL: cluster}) for bundle in bundles]
    return targets


def _copy_target(cluster: str, flip: Flip) -> Target:
    """The Fleet Cluster of the same name, once it has the labels."""
    return Target(cluster, dict(flip.labels), name=cluster)


def _target(until: Until, cause: Kind, name: str) -> Target:
    """The effect of one cause, by what the probe says of it."""
    if until.owner:
        return Target(name, owner=(cause.full_name, name))
    if until.label:
        return Target(name, {key: value.replace("{cause}", name) for key, value in until.label.items()})
    return Target(name, name=name)
