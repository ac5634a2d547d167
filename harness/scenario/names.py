"""Names: of the phases of a run, of the objects of its load. The plan and what must exist take them from here alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Generic, TypeAlias, TypeVar

from harness.core.kinds import Kind
from harness.scenario.model import Scenario
from harness.scenario.steps import (
    BUNDLE,
    CLUSTERS,
    FLEET_CLUSTER,
    GITREPO,
    MANAGEMENT_CLUSTER,
    SECRET,
    Create,
    Failover,
    Flip,
    Hook,
    Parallel,
    Restart,
    Settle,
)
from harness.scenario.traffic import Pause, Traffic

_LONGEST_PREFIX = 40
_PREFIX = {SECRET: "secret", GITREPO: "repo", BUNDLE: "bundle", MANAGEMENT_CLUSTER: "cluster", FLEET_CLUSTER: "cluster"}

BUNDLE_LABEL = "fleet.cattle.io/bundle-name"
BUNDLE_NAMESPACE_LABEL = "fleet.cattle.io/bundle-namespace"
CLUSTER_LABEL = "fleet.cattle.io/cluster"


AnyStep: TypeAlias = Create | Settle | Flip | Restart | Failover | Hook | Traffic | Pause
StepT = TypeVar("StepT", bound=AnyStep, covariant=True)


@dataclass(frozen=True, slots=True)
class Phase(Generic[StepT]):
    """One step of the load: its place among the steps, its name, and its number among those of the same name from 1.

    Parallel steps are phases of their own with a common `group`.
    """

    place: int
    name: str
    step: StepT
    ordinal: int
    group: int = 0
    path: tuple[str | int, ...] = ()
    """Where the step stands in the scenario."""


def phases(scenario: Scenario) -> list[Phase[AnyStep]]:
    """The phases of the load in order. Where the last step is not a settle, one with default values follows it.

    `create-Secret`, `create-Secret-2`, `flip`, `flip-2`, `restart`, `hook`; settles are numbered from the first, `settle-1`.
    """
    load = [*scenario.load]
    if load and not isinstance(load[-1], Settle):
        load.append(Settle())
    counter: Counter[str] = Counter()
    result: list[Phase[AnyStep]] = []
    for group, item in enumerate(load):
        members: list[tuple[AnyStep, tuple[str | int, ...]]] = (
            [(step, ("load", group, "parallel", number)) for number, step in enumerate(item.steps)]
            if isinstance(item, Parallel)
            else [(item, ("load", group))]
        )
        for step, path in members:
            base = f"{step.action}-{step.kind}" if isinstance(step, Create | Traffic) else step.action
            counter[base] += 1
            numbered = counter[base] > 1 or isinstance(step, Settle | Pause)
            name = f"{base}-{counter[base]}" if numbered else base
            result.append(Phase(len(result), name, step, counter[base], group, path))
    return result


def groups(scenario: Scenario) -> list[list[Phase[AnyStep]]]:
    """The phases, those that run at the same time together."""
    return [list(members) for _, members in groupby(phases(scenario), key=lambda phase: phase.group)]


def creates(scenario: Scenario, *kinds: Kind) -> list[Phase[Create]]:
    """The create steps of the given kinds; of all kinds where none is given."""
    return [
        Phase(phase.place, phase.name, phase.step, phase.ordinal, phase.group, phase.path)
        for phase in phases(scenario)
        if isinstance(phase.step, Create) and (not kinds or phase.step.resource in kinds)
    ]


def flips(scenario: Scenario) -> list[Phase[Flip]]:
    """The flip steps."""
    return [
        Phase(phase.place, phase.name, phase.step, phase.ordinal, phase.group, phase.path)
        for phase in phases(scenario)
        if isinstance(phase.step, Flip)
    ]


def causing(scenario: Scenario) -> list[Phase[Create | Flip]]:
    """The steps that may have probes: those that change objects."""
    return [
        Phase(phase.place, phase.name, phase.step, phase.ordinal, phase.group, phase.path)
        for phase in phases(scenario)
        if isinstance(phase.step, Create | Flip)
    ]


def cause_names(phase: Phase[Create | Flip], run_id: str) -> str:
    """Names of the objects that a step changes, for `str.format(i=…)`."""
    return template(phase.step.resource, run_id, phase.ordinal if isinstance(phase.step, Create) else 1)


def cluster_step(scenario: Scenario) -> Phase[Create] | None:
    """The one step that creates Clusters, of either kind; None where there is none."""
    return next(iter(creates(scenario, *CLUSTERS)), None)


def namespaces(scenario: Scenario, namespace: str) -> list[str]:
    """The namespaces that the load's objects are spread over, beside the run's own."""
    most = max((phase.step.namespaces or 1 for phase in phases(scenario) if isinstance(phase.step, Create)), default=1)
    return [] if most == 1 else spread_namespaces(namespace, most)


def spread_namespaces(namespace: str, count: int) -> list[str]:
    """Names of `count` namespaces of a run; two steps that spread share them."""
    return [f"{namespace}-n{number:03d}" for number in range(count)]


def tail(run_id: str) -> str:
    """The last five characters of a run id: they make names of cluster-scoped objects unique to a run."""
    return run_id[-5:]


def template(kind: Kind, run_id: str, ordinal: int = 1) -> str:
    """Names of the objects of one create step, for `str.format(i=…)`: `secret-k4x7q-{i:05d}`.

    A second step of the same kind makes others: `secret-k4x7q-s2-{i:05d}`. Clusters come from one step only, so the
    names that a flip changes are those of the first.
    """
    nth = "" if ordinal == 1 else f"s{ordinal}-"
    prefix = _PREFIX.get(kind) or kind.kind.lower()[:_LONGEST_PREFIX]
    return f"{prefix}-{tail(run_id)}-{nth}{{i:05d}}"


def bundle_names(repo: str, count: int) -> Iterator[str]:
    """Names of the Bundles that a controller makes of one GitRepo."""
    return (f"{repo}-b{index:05d}" for index in range(count))
