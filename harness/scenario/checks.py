"""Rules of a scenario that concern more than one of its parts. Nothing starts before all of them hold."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core import metrics
from harness.core.kinds import is_own
from harness.core.metrics import MetricName
from harness.scenario import controllers, fanout, names, population, profiling_checks, relations, subject_checks
from harness.scenario.document import Path
from harness.scenario.fields import MAX_COUNT
from harness.scenario.hints import suggest
from harness.scenario.model import Scenario
from harness.scenario.problems import Problem
from harness.scenario.selection import selector_of
from harness.scenario.steps import BUNDLE, CLUSTERS, EFFECTS, GITREPO, SECRET, Create, Failover, Flip
from harness.scenario.traffic import Churn, Delete, Patch, Read

_WITHOUT_COLLECTOR = ("load", "subject", "host", "apiserver")
"""Sources of results that are always there."""


def check(scenario: Scenario) -> list[Problem]:
    """What is wrong with a scenario whose parts are each well-formed and whose empty steps are dropped."""
    problems = [
        *_controller(scenario),
        *_clusters(scenario),
        *_flips(scenario),
        *_matching(scenario),
        *_takings(scenario),
        *relations.check(scenario),
        *subject_checks.placeholders(scenario),
        *subject_checks.replicas(scenario),
        *subject_checks.process(scenario),
        *subject_checks.agents(scenario),
    ]
    problems += _parallel(scenario)
    # Sizes and results follow from the load: while that is wrong they would only repeat it.
    return problems or [
        *_sizes(scenario), *_probe_names(scenario), *_results(scenario), *profiling_checks.check(scenario)
    ]  # fmt: skip


def _controller(scenario: Scenario) -> Iterator[Problem]:
    name = scenario.subject.controller
    if name is not None and name not in (known := controllers.known()):
        hint = suggest(name, known, title="controllers")
        yield Problem(("subject", "controller"), f"unknown controller {name!r}", hint)


def _clusters(scenario: Scenario) -> Iterator[Problem]:
    made = names.creates(scenario, *CLUSTERS)
    for phase in made[1:]:
        first, kind = made[0].step.kind, phase.step.kind
        path = (*phase.path, "create", "kind")
        if kind == first:
            yield Problem(path, f"{kind} is created twice", "create all Clusters in one step")
        else:
            cause = f"both {first} and {kind} are created, under the same names"
            yield Problem(
                path, cause, "create one of the two kinds; a controller makes the Fleet Clusters of the other"
            )


def _flips(scenario: Scenario) -> Iterator[Problem]:
    clusters = names.cluster_step(scenario)
    for phase in names.flips(scenario):
        flip, path = phase.step, (*phase.path, "flip")
        if clusters is None or clusters.step.kind != flip.kind or clusters.group >= phase.group:
            yield Problem((*path, "kind"), f"no earlier step creates {flip.kind}", "create it before the flip")
        elif flip.count > clusters.step.count:
            cause = f"flips {flip.count} of {flip.kind}, but only {clusters.step.count} are created"
            yield Problem((*path, "count"), cause, f"lower it to {clusters.step.count}, or create more")
        for number, probe in enumerate(flip.probes):
            until = probe.until
            if not (until.by_rule or until.label or until.owner or is_own(until.resource)):
                effects = " or ".join(kind.alias for kind in EFFECTS)
                cause = f"a flip has no effect on {until.kind}; its effects are seen on {effects}"
                yield Problem((*phase.path, "probes", number, "until"), cause)
            elif until.kind == flip.kind and until.by_rule:
                cause = f"{flip.kind} is what the flip itself changes"
                yield Problem((*phase.path, "probes", number, "until"), cause, "wait for a BundleDeployment")


def _matching(scenario: Scenario) -> Iterator[Problem]:
    for phase in names.creates(scenario, GITREPO, BUNDLE):
        if phase.step.matching and selector_of(scenario, phase.place) is None:
            yield Problem(
                (*phase.path, "create", "matching"),
                "matching needs labels to match, and no step gives a Cluster any",
                "add a flip, or labels to the step that creates Clusters",
            )


def _takings(scenario: Scenario) -> Iterator[Problem]:
    """Steps that take objects must find as many, and what must exist afterwards must be known."""
    selecting = {
        phase.step.resource: phase for phase in names.creates(scenario, GITREPO, BUNDLE) if phase.step.matching
    }
    unknown = {phase.step.kind for phase in names.creates(scenario, SECRET) if population.is_open_ended(phase.step)}
    passing = fanout.passing(scenario)
    for taking in population.takings(scenario):
        step, path = taking.step, (*taking.phase.path, taking.step.action)
        asked = step.count if isinstance(step, Delete | Patch) else None
        if step.kind in unknown:
            cause = f"how many {step.kind} a step_until_failure has created is not known"
            yield Problem((*path, "kind"), cause, "create them at another rate")
        elif step.resource in passing:
            cause = f"a probe waits until {step.kind} is deleted, so how many are there is not known"
            yield Problem((*path, "kind"), cause, f"leave out the {step.action}, or that probe")
        elif not taking.there:
            yield Problem(
                (*path, "kind"), f"no earlier step leaves any {step.kind}", f"create it before the {step.action}"
            )
        elif asked is not None and asked > taking.there:
            cause = f"{asked} of {step.kind}, but only {taking.there} are there"
            yield Problem((*path, "count"), cause, f"lower it to {taking.there}, or write all")
        elif isinstance(step, Delete | Churn) and step.resource in selecting:
            cause = f"{step.action} of {step.kind} would make it unclear which Bundles must be deployed"
            yield Problem((*path, "kind"), cause, f"leave matching out of the step that creates {step.kind}")
        elif (
            isinstance(step, Churn)
            and (count := 2 * step.cycles * population.churn_share(step, taking.there)) > MAX_COUNT
        ):
            yield Problem((*path, "cycles"), f"the churn makes {count} requests", f"at most {MAX_COUNT} are accepted")


def _parallel(scenario: Scenario) -> Iterator[Problem]:
    """Steps that run at the same time must not concern one another's objects: what must exist would depend on chance."""
    for group in names.groups(scenario):
        flipping = [phase for phase in group if isinstance(phase.step, Flip)]
        for phase in flipping[1:]:
            yield Problem((*phase.path, "flip"), "two flips run at the same time", "let one follow the other")
        for phase in group:
            step = phase.step
            if isinstance(step, Create) and step.matching and flipping:
                cause = f"the {step.kind} that match are created while the flip runs"
                yield Problem((*phase.path, "create", "matching"), cause, "create them before the flip")
        removing: set[str] = set()
        for phase in group:
            step = phase.step
            if isinstance(step, Delete | Churn):
                if step.kind in removing:
                    cause = f"{step.kind} is deleted by two steps at the same time"
                    yield Problem((*phase.path, step.action, "kind"), cause, "let one follow the other")
                removing.add(step.kind)
        for phase in group:
            step = phase.step
            if isinstance(step, Patch | Read) and step.kind in removing:
                cause = f"{step.kind} is deleted at the same time"
                yield Problem((*phase.path, step.action, "kind"), cause, "let one follow the other, or list instead")


def _sizes(scenario: Scenario) -> Iterator[Problem]:
    for phase in names.creates(scenario, GITREPO):
        each = phase.step.bundles or 1
        if (bundles := phase.step.count * each) > MAX_COUNT:
            cause = f"{phase.step.count} GitRepos of {each} Bundles make {bundles} Bundles"
            yield Problem((*phase.path, "create", "bundles"), cause, f"at most {MAX_COUNT} are accepted")
    for flip in names.causing(scenario):
        for number, probe in enumerate(flip.step.probes):
            if (count := fanout.target_count(scenario, flip, probe)) > MAX_COUNT:
                cause = f"probe {probe.name!r} has {count} targets"
                path = (*flip.path, "probes", number)
                yield Problem(path, cause, f"at most {MAX_COUNT} are accepted: flip fewer Clusters, or match less")


def _probe_names(scenario: Scenario) -> Iterator[Problem]:
    seen: set[str] = set()
    for flip in names.causing(scenario):
        for number, probe in enumerate(flip.step.probes):
            if probe.name in seen:
                path = (*flip.path, "probes", number, "name")
                yield Problem(path, f"probe {probe.name!r} is defined twice", "give each probe a name of its own")
            seen.add(probe.name)


def _results(scenario: Scenario) -> Iterator[Problem]:
    """Expectations and signs of engagement must be about results that this scenario can have."""
    targets = {
        probe.name: fanout.target_count(scenario, flip, probe)
        for flip in names.causing(scenario)
        for probe in flip.step.probes
    }
    existing = {item.kind.alias for item in fanout.expected(scenario, fanout.NO_RUN) if item.count}
    wanted: list[tuple[Path, str]] = [
        (("engaged", i, "metric"), item.metric) for i, item in enumerate(scenario.engaged)
    ]
    wanted += [(("expect", i), item.metric) for i, item in enumerate(scenario.expect)]
    if scenario.gate is not None:
        wanted += [(("gate", "primary", metric), metric) for metric in scenario.gate.primary]
    for path, metric in wanted:
        try:
            name = metrics.resolve(metric, probes=targets)
        except ValueError as error:
            yield Problem(path, str(error))
            continue
        if name.probe is not None and targets[name.probe] == 0:
            cause = f"{metric} has nothing to measure: no Bundle begins to match by the flip"
            yield Problem(path, cause, "raise matching of a GitRepo step before it")
        elif name.metric.name == "completeness.KIND" and name.kind not in existing:
            cause = f"{metric} has nothing to count: the load brings about no {name.kind}"
            yield Problem(path, cause, suggest(str(name.kind), sorted(existing), title="what must exist"))
        else:
            yield from _witnessed(scenario, path, metric, name)


def _witnessed(scenario: Scenario, path: Path, metric: str, name: MetricName) -> Iterator[Problem]:
    source = name.metric.source
    if source not in _WITHOUT_COLLECTOR and source not in scenario.collect:
        yield Problem(path, f"{metric} comes from collector {source!r}, which is not on", f"add {source} to collect")
    elif source == "metrics" and scenario.subject.command is not None and scenario.subject.metrics is None:
        yield Problem(path, f"{metric} is read from the subject's metrics", "say where they are: subject.metrics")
    elif metric.startswith("failover.") and not any(isinstance(step, Failover) for step in scenario.load):
        yield Problem(path, f"{metric} needs a failover, and the load has none", "add a step: failover:")
    elif metric == "memory.headroom.idle" and scenario.subject.memory_limit is None:
        yield Problem(path, f"{metric} needs a memory limit", "set subject.memory_limit")
