"""A scenario whose load equals what a cluster holds: as many objects, of the same sizes, with as many labels.

Only numbers go in. What the scenario's vocabulary cannot say (which label selects what) is said in a comment, so that a
reader knows what was left out.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import yaml

from harness.core.errors import UsageError
from harness.core.inventory import Held, Inventory
from harness.core.units import format_value
from harness.scenario.fields import MAX_COUNT
from harness.scenario.steps import (
    BUNDLE,
    DEPLOYMENT,
    FLEET_CLUSTER,
    GITREPO,
    MANAGEMENT_CLUSTER,
    SECRET,
    SMALLEST_BUNDLE,
)

_LARGEST = 2**20
_MOST_BUNDLES = 1000
_MOST_LABELS, _LONGEST_VALUE = 50, 63
_MATCH = {"env": "synthetic"}
_SHOWN_KEYS = 12


def write(inventory: Inventory, *, name: str) -> str:
    """The scenario file as text, with what was counted in comments."""
    load = [*_load(inventory)]
    if not load:
        where = f"namespace {inventory.namespace}" if inventory.namespace else "this cluster"
        raise UsageError(
            f"{where} holds nothing that a load can create", remedy="choose another: nothing is to be equalled"
        )
    kinds = dict.fromkeys(str(step["create"]["kind"]) for step in load)
    document = {
        "name": name,
        "summary": "A synthetic load equal in counts, sizes and labels to what a real cluster held.",
        "seed": 1,
        "subject": {"controller": "fleet"},
        "load": [*load, {"settle": {"quiet_for": "3s", "timeout": "30m"}}],
        "expect": [*(f"completeness.{kind} == 1" for kind in kinds), "load.failures == 0"],
    }
    comments = "".join(f"# {line}".rstrip() + "\n" for line in _comments(inventory))
    return comments + yaml.safe_dump(document, sort_keys=False, width=110, default_flow_style=None)


def _load(inventory: Inventory) -> Iterator[dict[str, dict[str, object]]]:
    clusters = MANAGEMENT_CLUSTER if inventory.count(MANAGEMENT_CLUSTER.alias) else FLEET_CLUSTER
    if count := inventory.count(clusters.alias):
        labels = _MATCH | _labels(inventory.held[clusters.alias], len(_MATCH))
        yield _create(clusters.alias, count, labels=labels)
    if SECRET.alias in inventory.held:
        yield from _sized(inventory.held[SECRET.alias], inventory.held[SECRET.alias].count, 1)
    repos, owned = inventory.count(GITREPO.alias), _owned(inventory)
    wanted = _matching_bundles(inventory)
    if repos:
        each, more = divmod(owned, repos)
        for count, bundles in ((more, each + 1), (repos - more, each)):
            if count and bundles:
                select = min(count, round(wanted / bundles))
                wanted -= select * bundles
                fields = {"bundles": min(bundles, _MOST_BUNDLES)} | ({"matching": select} if select else {})
                yield _create(GITREPO.alias, count, **fields, **_labelled(inventory.held[GITREPO.alias]))
    loose = inventory.count(BUNDLE.alias) - (owned if repos else 0)
    if loose > 0:
        yield from _sized(inventory.held[BUNDLE.alias], loose, SMALLEST_BUNDLE)


def _owned(inventory: Inventory) -> int:
    return inventory.held[BUNDLE.alias].owned if BUNDLE.alias in inventory.held else 0


def _matching_bundles(inventory: Inventory) -> float:
    """How many Bundles of GitRepos go to every Cluster, for as many BundleDeployments to come to exist."""
    clusters = inventory.count(MANAGEMENT_CLUSTER.alias) or inventory.count(FLEET_CLUSTER.alias)
    return inventory.count(DEPLOYMENT.alias) / clusters if clusters else 0.0


def _sized(held: Held, count: int, smallest: int) -> Iterator[dict[str, dict[str, object]]]:
    """Steps by size, `count` objects in all; the largest part takes what rounding leaves over."""
    left = count
    slices = held.sizes.slices()
    for index, part in enumerate(slices):
        number = left if index == len(slices) - 1 else min(left, round(part.count * count / held.sizes.count))
        left -= number
        low, high = (min(max(size, smallest), _LARGEST) for size in (part.low, part.high))
        if number:
            yield _create(held.kind.alias, number, size=[f"{low}B", f"{high}B"], **_labelled(held))


def _create(kind: str, count: int, **fields: object) -> dict[str, dict[str, object]]:
    return {"create": {"kind": kind, "count": min(count, MAX_COUNT), **fields}}


def _labelled(held: Held) -> dict[str, object]:
    labels = _labels(held, 0)
    return {"labels": labels} if labels else {}


def _labels(held: Held, already: int) -> dict[str, str]:
    """As many labels as an object has on average, of the average length; neither keys nor values are the cluster's."""
    value = "x" * min(held.labels.mean_value, _LONGEST_VALUE)
    wanted = min(max(0, held.labels.per_object - already), _MOST_LABELS)
    return {f"synthetic-{number:02d}": value for number in range(wanted)}


def _comments(inventory: Inventory) -> Iterator[str]:
    where = f"namespace {inventory.namespace}" if inventory.namespace else "all namespaces"
    yield f"Written by `harness scenarios from-cluster` from {where} of a cluster with Kubernetes {inventory.version}."
    yield "It holds counts, sizes and label keys; no name and no value of any object was kept."
    yield ""
    for held in inventory.held.values():
        yield from _counted(held)
    yield ""
    yield from textwrap.wrap(
        "The subject is the reference controller; put yours in its place (docs/scenarios.md, Subject), with a memory_limit to "
        "see whether it lives. GitRepos are given the mean number of Bundles, of which so many select the Clusters' label as "
        "bring about the BundleDeployments counted; Bundles of GitRepos are as large as the controller makes them.",
        width=110,
    )


def _counted(held: Held) -> Iterator[str]:
    line = f"{held.kind.alias}: {held.count:,}"
    if held.sizes.count:
        mean = format_value(held.sizes.total / held.sizes.count, "bytes")
        line += f", payload {mean} on average, {format_value(held.sizes.largest, 'bytes')} at most"
    if held.owned:
        line += f", {held.owned:,} of them by GitRepos"
    yield line
    if held.count and held.labels.keys:
        keys = [f"{key} ({count:,})" for key, count in held.labels.keys.most_common(_SHOWN_KEYS)]
        more = len(held.labels.keys) - len(keys)
        text = f"labels: {', '.join(keys)}" + (f" and {more:,} more keys" if more > 0 else "")
        yield from textwrap.wrap(text, width=110, initial_indent="  ", subsequent_indent="    ", break_long_words=False)
