"""Which Clusters a Bundle is meant for: Kubernetes label selectors, and Fleet's targets made of them.

A target names criteria that must all hold; one without any matches nothing. To be matched a selector is parsed first: checked,
and made into requirements. Row 2 of docs/claims.md: with `selector_cache=on` that is done once for each generation
of a Bundle, and Bundles with equal targets share the result; with `off` it is done again for every Cluster that is looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from harness.controllers.fleet.names import DISPLAY_NAME_LABEL
from harness.controllers.runtime.resources import Object, generation_of, key_of, labels_of, name_of

Labels = Mapping[str, str]

_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label."""

    key: str
    operator: str
    values: frozenset[str]

    def holds(self, labels: Labels) -> bool:
        """Whether `labels` meet it."""
        match self.operator:
            case "In":
                return key_in(self.key, labels) and labels[self.key] in self.values
            case "NotIn":
                return labels.get(self.key) not in self.values
            case "Exists":
                return key_in(self.key, labels)
        return not key_in(self.key, labels)


def key_in(key: str, labels: Labels) -> bool:
    """Whether there is such a label."""
    return key in labels


@dataclass(frozen=True, slots=True)
class Selector:
    """A parsed `LabelSelector`. `requirements` None: it selects nothing."""

    requirements: tuple[Requirement, ...] | None

    def matches(self, labels: Labels) -> bool:
        """Whether it selects `labels`. The empty one selects everything."""
        return self.requirements is not None and all(each.holds(labels) for each in self.requirements)


def parse_selector(selector: Mapping[str, Any]) -> Selector:
    """The selector, checked.

    One with a key that cannot be a label's, or an operator that Kubernetes does not know, selects nothing: the API server lets
    such a custom resource through, and one bad Bundle must not stop the others.
    """
    found = [
        Requirement(key, "In", frozenset((value,)))
        for key, value in sorted((selector.get("matchLabels") or {}).items())
    ]
    for each in selector.get("matchExpressions") or ():
        if each["operator"] not in _OPERATORS:
            return Selector(None)
        found.append(Requirement(each["key"], each["operator"], frozenset(each.get("values") or ())))
    if not all(_KEY.fullmatch(each.key) for each in found):
        return Selector(None)
    return Selector(tuple(found))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Cluster, as targets see it."""

    name: str
    labels: Labels
    groups: tuple[tuple[str, Labels], ...] = ()
    """Names and labels of the ClusterGroups that it is in."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parsed target of a Bundle."""

    name: str | None
    selector: Selector | None
    group: str | None
    group_selector: Selector | None

    def matches(self, cluster: Candidate) -> bool:
        """Whether it takes in the Cluster."""
        if not self.name and self.selector is None and not self.group and self.group_selector is None:
            return False
        if self.name and self.name not in (cluster.name, cluster.labels.get(DISPLAY_NAME_LABEL)):
            return False
        if self.group and all(name != self.group for name, _ in cluster.groups):
            return False
        groups = self.group_selector
        if groups is not None and not any(groups.matches(labels) for _, labels in cluster.groups):
            return False
        return self.selector is None or self.selector.matches(cluster.labels)


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Targets:
    """All parsed targets of a Bundle."""

    targets: tuple[Target, ...]

    def match(self, cluster: Candidate) -> bool:
        """Whether any of them takes in the Cluster."""
        return any(target.matches(cluster) for target in self.targets)


def parse_targets(targets: Iterable[Mapping[str, Any]]) -> Targets:
    """The targets of a Bundle's spec, parsed."""
    return Targets(tuple(_target(target) for target in targets))


def _target(target: Mapping[str, Any]) -> Target:
    selector, groups = target.get("clusterSelector"), target.get("clusterGroupSelector")
    return Target(
        target.get("clusterName") or None,
        None if selector is None else parse_selector(selector),
        target.get("clusterGroup") or None,
        None if groups is None else parse_selector(groups),
    )


class Selectors:
    """The way to parsed selectors, which keeps them or not."""

    def __init__(self, *, cached: bool) -> None:
        self._cached = cached
        self._bundles: dict[str, tuple[object, Targets]] = {}
        self._groups: dict[str, tuple[object, Selector]] = {}
        self._shared: WeakValueDictionary[str, Targets] = WeakValueDictionary()
        self.parsed = 0
        """How often the targets of a Bundle, or the selector of a ClusterGroup, have been parsed."""

    def of_bundle(self, bundle: Object) -> Targets | None:
        """The targets of a Bundle; None where only its metadata is at hand, and they are not kept from earlier."""
        revision = _revision(bundle)
        kept = self._bundles.get(key_of(bundle))
        if kept is not None and kept[0] == revision:
            return kept[1]
        if "spec" not in bundle:
            return None
        targets = bundle["spec"].get("targets") or ()
        if not self._cached:
            self.parsed += 1
            return parse_targets(targets)
        content = json.dumps(targets, sort_keys=True)
        found = self._shared.get(content)
        if found is None:
            self.parsed += 1
            found = self._shared[content] = parse_targets(targets)
        self._bundles[key_of(bundle)] = revision, found
        return found

    def bundle_matches(self, bundle: Object, cluster: Candidate) -> bool | None:
        """Whether a Bundle is meant for the Cluster; None: that cannot be told from its metadata."""
        targets = self.of_bundle(bundle)
        return None if targets is None else targets.match(cluster)

    def of_group(self, group: Object) -> Selector:
        """The selector of a ClusterGroup; without one it selects nothing."""
        revision = _revision(group)
        kept = self._groups.get(key_of(group))
        if kept is not None and kept[0] == revision:
            return kept[1]
        self.parsed += 1
        wanted = (group.get("spec") or {}).get("selector")
        found = Selector(None) if wanted is None else parse_selector(wanted)
        if self._cached:
            self._groups[key_of(group)] = revision, found
        return found

    def candidate(self, cluster: Object, groups: Iterable[Object]) -> Candidate:
        """The Cluster, with those of the ClusterGroups `groups` of its namespace that it is in."""
        labels = labels_of(cluster)
        inside = tuple((name_of(group), labels_of(group)) for group in groups if self.of_group(group).matches(labels))
        return Candidate(name_of(cluster), labels, inside)

    def forget_bundle(self, key: str) -> None:
        """The Bundle is gone."""
        self._bundles.pop(key, None)

    def forget_group(self, key: str) -> None:
        """The ClusterGroup is gone."""
        self._groups.pop(key, None)


def _revision(obj: Object) -> tuple[object, ...]:
    return obj["metadata"].get("uid"), generation_of(obj)
