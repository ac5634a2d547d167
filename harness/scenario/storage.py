"""How much of etcd's quota a load takes, computed from the scenario alone, so that a run that would hit it never begins.

etcd's file holds the newest revision of each object, and every older one until the API server has compacted it away: it does
so every five minutes, back to where the store was five minutes before. So what counts is what is there, and what has been
superseded or deleted within the last ten minutes. Nobody knows beforehand how fast a load goes that is sent as fast as
possible, or how often a controller writes: both are taken at their worst, and the estimate is one from above.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.core import kinds
from harness.core.kinds import Kind, is_own
from harness.scenario import controllers, fanout, templates
from harness.scenario.model import Scenario
from harness.scenario.names import AnyStep, Phase, groups
from harness.scenario.population import Taking, churn_share, takings
from harness.scenario.sizes import AnySize, Distribution
from harness.scenario.steps import (
    BUNDLE,
    DEPLOYMENT,
    FLEET_CLUSTER,
    GITREPO,
    MANAGEMENT_CLUSTER,
    SECRET,
    Create,
    Flip,
    Settle,
)
from harness.scenario.traffic import Churn, Delete, Patch, Pause

BASE_BYTES = 8 * 2**20
"""What a control plane holds before anything is sent, with room for what it writes by itself. Measured: docs/scale.md."""
SLACK = 1.1
"""Of what whole leaves take: branches, and pages that etcd has freed and not used again yet. Measured: docs/scale.md."""
WINDOW_S = 600.0
"""Revisions that are not needed any more stay for up to twice the API server's --etcd-compaction-interval, which is 5 minutes."""
FASTEST_PER_S = 2500.0
"""The most creates a second that have been seen of one sender on the embedded cluster."""
PAGE = 4096
_FILL = 0.9
"""etcd lets its pages become this full before it splits them."""
_TOMBSTONE = 150

_BYTES: dict[Kind, int] = {
    SECRET: 400,
    GITREPO: 1500,
    BUNDLE: 2600,
    DEPLOYMENT: 3600,
    FLEET_CLUSTER: 1700,
    MANAGEMENT_CLUSTER: 700,
}
"""Of one stored object without its payload, managed fields included, status written. Measured: docs/scale.md."""
_OTHER_BYTES = 1500
_GITREPO_BUNDLE = 1000
"""What the manifest of a GitRepo's Bundle has, which each BundleDeployment of it has too."""
_NAMESPACE_BYTES = 1200
"""A Fleet Cluster's namespace with its ServiceAccount."""

_REVISIONS: dict[Kind, int] = {GITREPO: 5, BUNDLE: 6, DEPLOYMENT: 3, FLEET_CLUSTER: 5}
"""How often an object of the kind is written by Fleet's controllers, its creation included."""
_OWN_REVISIONS = 3
"""Of a kind with a status, by a controller of which nothing is known."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a load takes at its fullest."""

    bytes: int
    objects: int
    """Objects there at that time."""
    revisions: int
    """Older revisions and deleted objects that have not been compacted away then, each with its bytes."""


@dataclass(slots=True)
class _Change:
    """What one step brings: bytes and objects that stay, and bytes and revisions that are soon compacted away."""

    seconds: float = 0.0
    live_bytes: float = 0.0
    live: int = 0
    past_bytes: float = 0.0
    past: int = 0

    def add(self, each_bytes: float, count: int, revisions: int) -> None:
        """`count` objects, written `revisions` times each."""
        stored = on_disk(each_bytes)
        self.live_bytes += stored * count
        self.live += count
        self.past_bytes += stored * count * (revisions - 1)
        self.past += count * (revisions - 1)

    def rewrite(self, each_bytes: float, count: int, times: int = 1) -> None:
        """`count` objects that are there already are written again."""
        self.past_bytes += on_disk(each_bytes) * count * times
        self.past += count * times

    def remove(self, each_bytes: float, count: int) -> None:
        """`count` objects go."""
        self.live_bytes -= on_disk(each_bytes) * count
        self.live -= count
        self.past_bytes += (on_disk(each_bytes) + on_disk(_TOMBSTONE)) * count
        self.past += 2 * count


def need(scenario: Scenario) -> Need:
    """What etcd must hold when it holds the most."""
    live_bytes, live, now = 0.0, 0, 0.0
    spans: list[tuple[float, float, _Change]] = []
    most = Need(BASE_BYTES, 0, 0)
    for change in _changes(scenario):
        start, now = now, now + change.seconds
        live_bytes, live = live_bytes + change.live_bytes, live + change.live
        spans = [*(span for span in spans if span[1] > now - WINDOW_S), (start, now, change)]
        shares = [(_share(first, last, now), past) for first, last, past in spans]
        past_bytes = sum(share * past.past_bytes for share, past in shares)
        total = math.ceil(BASE_BYTES + SLACK * (live_bytes + past_bytes))
        if total > most.bytes:
            most = Need(total, live, round(sum(share * past.past for share, past in shares)))
    return most


def on_disk(size: float) -> float:
    """Bytes of etcd's file that one stored value of `size` bytes takes, its key included.

    bbolt keeps at least two items in a leaf and gives it whole pages, so that an item of 2.5 KB takes 4 KB.
    """
    item = size + 120  # its name, the revision, and what bbolt and etcd's record add
    items = max(2, int((_FILL * PAGE - 16) // item))
    return math.ceil((16 + items * item) / PAGE) * PAGE / items


def mean(size: AnySize) -> float:
    """The average payload; of a distribution what is above its maximum counts as that."""
    if not isinstance(size, Distribution):
        return sum(size) / 2
    if size.kind == "lognormal":
        return min(size.scale * math.exp(size.shape**2 / 2), float(size.max))
    smallest, alpha, most = float(size.scale), size.shape, float(size.max)
    if math.isclose(alpha, 1.0):
        return smallest + smallest * math.log(most / smallest)
    return smallest + smallest * (math.pow(most / smallest, 1 - alpha) - 1) / (1 - alpha)


def _share(first: float, last: float, now: float) -> float:
    """How much of a span lies within the window before `now`."""
    since = now - WINDOW_S
    if first >= since:
        return 1.0
    return max(0.0, last - since) / (last - first) if last > first else 0.0


def _changes(scenario: Scenario) -> Iterator[_Change]:
    """One change for each group of steps, and at the end of the step that brings them about the BundleDeployments."""
    fleet = controllers.makes_bundles(scenario.subject.controller)
    taken = {taking.phase.name: taking for taking in takings(scenario)}
    planned = groups(scenario)
    created = {phase.name: phase.step for group in planned for phase in group if isinstance(phase.step, Create)}
    sizes = {name: of_kind(step.resource) + _payload(scenario, step) for name, step in created.items()}
    deployments = fanout.deployments(scenario) if fleet else 0
    causing = [
        number for number, group in enumerate(planned) if any(isinstance(phase.step, Create | Flip) for phase in group)
    ]
    for number, group in enumerate(planned):
        change = _Change(seconds=max(_seconds(phase, taken.get(phase.name)) for phase in group))
        for phase in group:
            _apply(change, phase, taken.get(phase.name), (created, sizes), fleet=fleet)
        if deployments and number == causing[-1]:
            change.add(_BYTES[DEPLOYMENT] + _deployed(list(created.values())), deployments, _REVISIONS[DEPLOYMENT])
        yield change


def _apply(
    change: _Change,
    phase: Phase[AnyStep],
    taking: Taking | None,
    made: tuple[dict[str, Create], dict[str, float]],
    *,
    fleet: bool,
) -> None:
    (created, sizes), step = made, phase.step
    match step:
        case Create():
            _create(change, step, sizes[phase.name], fleet=fleet)
        case Flip():
            change.rewrite(of_kind(step.resource), step.count, times=2)  # its own, and the label on the Fleet Cluster
        case Patch() | Delete() | Churn():
            assert taking is not None
            total = max(1, taking.count)
            for part in taking.taken:
                each = sizes[part.phase]
                if isinstance(step, Patch):
                    change.rewrite(each, part.count, times=_revisions(step.resource, fleet=fleet))
                elif isinstance(step, Delete):
                    change.remove(each, part.count)
                    _leave(change, created[part.phase], part.count, fleet=fleet)
                else:
                    again = churn_share(step, taking.there) * part.count / total * step.cycles
                    change.rewrite(each, round(again), times=1 + _revisions(step.resource, fleet=fleet))
        case _:
            pass


def _create(change: _Change, step: Create, each_bytes: float, *, fleet: bool) -> None:
    change.add(each_bytes, step.count, _revisions(step.resource, fleet=fleet))
    if not fleet:
        return
    if step.resource == GITREPO:
        bundles = step.count * (step.bundles or 1)
        change.add(_BYTES[BUNDLE] + _GITREPO_BUNDLE, bundles, _REVISIONS[BUNDLE])
    elif step.resource == MANAGEMENT_CLUSTER:
        change.add(_BYTES[FLEET_CLUSTER], step.count, _REVISIONS[FLEET_CLUSTER])
    if step.resource in (MANAGEMENT_CLUSTER, FLEET_CLUSTER):
        change.add(_NAMESPACE_BYTES, step.count, 1)


def _leave(change: _Change, made: Create, count: int, *, fleet: bool) -> None:
    """The Bundles of GitRepos that are deleted go with them."""
    if fleet and made.resource == GITREPO:
        change.remove(_BYTES[BUNDLE] + _GITREPO_BUNDLE, count * (made.bundles or 1))


def _revisions(kind: Kind, *, fleet: bool) -> int:
    if kind in _REVISIONS:
        return _REVISIONS[kind] if fleet else 1
    return _OWN_REVISIONS if is_own(kind) or kind.status else 1


def of_kind(kind: Kind) -> float:
    """Bytes of one stored object without its payload."""
    return _BYTES.get(kind, _OTHER_BYTES)


def _payload(scenario: Scenario, step: Create) -> float:
    """What an object of the step has beside: its payload, or all that its template renders to."""
    if step.template is not None:
        with kinds.knowing(scenario.kinds):
            return templates.rendered_bytes(scenario.templates[step.template], scenario.params, scenario.seed)
    return 0.0 if step.payload is None else mean(step.payload)


def _deployed(made: Sequence[Create]) -> float:
    """What a BundleDeployment carries of its Bundle: the largest of the load's."""
    sizes = [mean(step.payload) for step in made if step.resource == BUNDLE and step.payload is not None]
    return max([*sizes, float(_GITREPO_BUNDLE)])


def _seconds(phase: Phase[AnyStep], taking: Taking | None) -> float:
    """How long a step takes at the least."""
    step = phase.step
    if isinstance(step, Settle):
        return step.quiet_for
    if isinstance(step, Pause):
        return step.seconds
    count: float = getattr(step, "count", None) or (0 if taking is None else taking.count)
    if isinstance(step, Churn) and taking is not None:
        count = 2 * step.cycles * churn_share(step, taking.there)
        return count / _per_s(step) + step.cycles * step.delay
    return count / _per_s(step)


def _per_s(step: AnyStep) -> float:
    rate = getattr(step, "rate", None)
    return rate if isinstance(rate, float) else FASTEST_PER_S
