"""Which GitRepos and Bundles select a flip's label, and what the Clusters' labels are at each point of the load."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from harness.scenario.model import Scenario
from harness.scenario.names import bundle_names, cluster_step, creates, flips, template
from harness.scenario.steps import BUNDLE, GITREPO

_OTHER = "other"


@dataclass(frozen=True, slots=True)
class Selection:
    """Who selects what in one create step of GitRepos or Bundles."""

    place: int
    """Index of the step among the phases."""
    names: str
    bundles: int | None
    """Bundles of each GitRepo; None where the step creates Bundles themselves."""
    count: int
    matching_count: int
    seed: str
    selector: Mapping[str, str]
    other: Mapping[str, str]

    @property
    def matching(self) -> tuple[int, ...]:
        """Indexes of the objects that select `selector`, drawn by the seed; the others select `other`."""
        return sample(self.seed, self.count, self.matching_count)

    @property
    def bundle_count(self) -> int:
        """How many Bundles select `selector`."""
        return self.matching_count * (self.bundles or 1)

    def bundle_names(self) -> list[str]:
        """Names of the Bundles that select `selector`."""
        names = [self.names.format(i=index) for index in self.matching]
        return names if self.bundles is None else [each for name in names for each in bundle_names(name, self.bundles)]


def selections(scenario: Scenario, run_id: str) -> list[Selection]:
    """One for each create step of GitRepos or Bundles, in order."""
    result = []
    for phase in creates(scenario, GITREPO, BUNDLE):
        step = phase.step
        repos = step.resource == GITREPO
        selector = selector_of(scenario, phase.place) or {"env": "prod"}
        result.append(
            Selection(
                phase.place,
                template(step.resource, run_id, phase.ordinal),
                (step.bundles or 1) if repos else None,
                step.count,
                step.matching or 0,
                f"{scenario.seed}/{phase.name}",
                selector,
                _other(scenario, selector),
            )
        )
    return result


def selector_of(scenario: Scenario, place: int) -> dict[str, str] | None:
    """The labels that matching objects of the step at `place` select.

    Those of the first flip after it, else of the last flip before it, else those the Clusters are created with.
    """
    known = flips(scenario)
    after = [phase.step for phase in known if phase.place > place]
    before = [phase.step for phase in known if phase.place < place]
    for flip in [*after[:1], *before[-1:]]:
        return dict(flip.labels)
    clusters = cluster_step(scenario)
    return dict(clusters.step.labels) or None if clusters else None


def histories(scenario: Scenario) -> list[tuple[range, list[tuple[int, dict[str, str]]]]]:
    """The labels of the Clusters over the load: ranges of indexes that fare alike, each with (place, labels from then on).

    A flip of K changes the first K Clusters.
    """
    clusters = cluster_step(scenario)
    if clusters is None:
        return []
    later = [phase for phase in flips(scenario) if phase.place > clusters.place]
    ends = sorted({clusters.step.count, *(phase.step.count for phase in later)})
    result, start = [], 0
    for end in ends:
        labels = dict(clusters.step.labels)
        history = [(clusters.place, dict(labels))]
        for phase in later:
            if start < phase.step.count:
                labels |= phase.step.labels
                history.append((phase.place, dict(labels)))
        result.append((range(start, end), history))
        start = end
    return result


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Kubernetes' matchLabels."""
    return selector.items() <= labels.items()


def _other(scenario: Scenario, selector: Mapping[str, str]) -> dict[str, str]:
    """The same keys with a value that no Cluster ever has."""
    clusters = cluster_step(scenario)
    taken = set(clusters.step.labels.values()) if clusters else set()
    for phase in flips(scenario):
        taken |= set(phase.step.labels.values())
    value = next(name for name in (_OTHER, *(f"{_OTHER}-{n}" for n in range(len(taken) + 1))) if name not in taken)
    return dict.fromkeys(selector, value)


def sample(seed: str, count: int, size: int) -> tuple[int, ...]:
    """`size` different indexes below `count`, by Floyd's algorithm.

    `random.sample` may draw differently in another Python; `random()` of a seeded generator is fixed by its documentation.
    """
    generator = random.Random(seed)  # noqa: S311  # repeatable, not secret
    chosen: set[int] = set()
    for upper in range(count - size, count):
        index = int(generator.random() * (upper + 1))
        chosen.add(upper if index in chosen else index)
    return tuple(sorted(chosen))
