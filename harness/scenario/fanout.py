"""What must exist because of the load.

Computed from the scenario alone and never from what the subject reports, so that lost work cannot look like a saving. The
rules are Fleet's: a GitRepo makes its Bundles, a management Cluster its Fleet Cluster, and a Bundle one BundleDeployment
on every Cluster whose labels its target selects.
"""

from __future__ import annotations

from collections import Counter

from harness.core.handles import Expected, ProbeSpec, Target
from harness.core.ids import RUN_LABEL, namespace_of
from harness.core.kinds import Kind, find
from harness.scenario import population
from harness.scenario.model import Scenario
from harness.scenario.names import (
    BUNDLE_LABEL,
    BUNDLE_NAMESPACE_LABEL,
    CLUSTER_LABEL,
    Phase,
    creates,
    flips,
    phases,
    template,
)
from harness.scenario.selection import Selection, histories, selections, selects
from harness.scenario.steps import (
    BUNDLE,
    DEPLOYMENT,
    FLEET_CLUSTER,
    GITREPO,
    MANAGEMENT_CLUSTER,
    SECRET,
    Create,
    Flip,
    Probe,
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
    if GITREPO in final:
        final.add(BUNDLE)
    made = dict(counts)
    for step in _creates(scenario):
        if step.resource == GITREPO:
            counts[BUNDLE] += step.count * (step.bundles or 1)
        elif step.resource == MANAGEMENT_CLUSTER:
            counts[FLEET_CLUSTER] += step.count
    counts[DEPLOYMENT] += deployments(scenario)
    spread = {step.resource for step in _creates(scenario) if (step.namespaces or 1) > 1}
    unknown = {step.resource for step in _creates(scenario) if population.is_open_ended(step)}
    result = []
    for kind, count in counts.items():
        if kind == DEPLOYMENT:
            # They live in the namespace that the controller gives each Fleet Cluster.
            where, labels = None, {BUNDLE_NAMESPACE_LABEL: namespace}
        else:
            where = namespace if kind.namespaced and kind not in spread else None
            labels = {RUN_LABEL: run_id} if made.get(kind) == count else {}
        if count and kind not in unknown:
            result.append(Expected(kind, count - gone.get(kind, 0), where, labels, final=kind in final))
    return result


def _gone(scenario: Scenario) -> dict[Kind, int]:
    """How many objects of each kind are there no more at the end, with the Bundles of deleted GitRepos."""
    made = {phase.name: phase.step for phase in creates(scenario, SECRET, GITREPO, BUNDLE)}
    gone: Counter[Kind] = Counter()
    for taking in population.takings(scenario):
        if isinstance(taking.step, Delete):
            for part in taking.taken:
                step = made[part.phase]
                gone[step.resource] += part.count
                if step.resource == GITREPO:
                    gone[BUNDLE] += part.count * (step.bundles or 1)
    return gone


def scenario_kinds(scenario: Scenario) -> list[Kind]:
    """Every kind the load creates or brings about: watched for quiet and for completeness."""
    kinds = dict.fromkeys(_created(scenario))
    if MANAGEMENT_CLUSTER in kinds:
        kinds[FLEET_CLUSTER] = None
    if GITREPO in kinds:
        kinds[BUNDLE] = None
    if BUNDLE in kinds and FLEET_CLUSTER in kinds:
        kinds[DEPLOYMENT] = None
    for phase in flips(scenario):
        kinds |= dict.fromkeys(find(probe.until.kind) for probe in phase.step.probes)
    return list(kinds)


def probes(scenario: Scenario, run_id: str) -> list[ProbeSpec]:
    """The latency probes with their targets: one for each flipped Cluster and each object that its flip concerns."""
    result = []
    chosen = selections(scenario, run_id)
    for phase in flips(scenario):
        flip = phase.step
        names = template(flip.resource, run_id)
        for probe in flip.probes:
            kind = find(probe.until.kind)
            targets = (
                _deployment_targets(scenario, chosen, phase.place, names)
                if kind == DEPLOYMENT
                else [_copy_target(names.format(i=index), flip) for index in range(flip.count)]
            )
            result.append(ProbeSpec(probe.name, phase.name, kind, probe.until.condition, targets))
    return result


def target_count(scenario: Scenario, flip: Phase[Flip], probe: Probe) -> int:
    """How many targets a probe of a flip has, without making them."""
    if find(probe.until.kind) != DEPLOYMENT:
        return flip.step.count
    return sum(
        len(indexes) * selection.bundle_count
        for indexes, selection in _concerned(scenario, selections(scenario, NO_RUN), flip.place)
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
