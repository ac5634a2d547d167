"""From causes to effects: which of thousands of awaited objects an event is, and when each was first seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from harness.core import jsonpath
from harness.core.handles import ProbeSpec
from harness.core.jsonpath import JSONPath
from harness.core.kinds import Kind
from harness.core.sinks import PropagationRow

T = TypeVar("T")
_MAX_SIGHTINGS = 256


class LabelIndex(Generic[T]):
    """Finds which selectors an object meets with one dictionary look-up per distinct set of label names."""

    def __init__(self) -> None:
        self._groups: dict[tuple[tuple[str, ...], bool, bool], dict[tuple[str | None, ...], list[T]]] = {}

    def add(self, item: T, labels: Mapping[str, str], *, namespace: str | None = None, name: str | None = None) -> None:
        """Register `item` under equality of labels, and of namespace and name where given."""
        names = tuple(sorted(labels))
        group = self._groups.setdefault((names, namespace is not None, name is not None), {})
        key = (*(labels[label] for label in names), *(part for part in (namespace, name) if part is not None))
        group.setdefault(key, []).append(item)

    def find(self, namespace: str, name: str, labels: Mapping[str, str]) -> Iterator[T]:
        """Every item that an object meets."""
        for (names, by_namespace, by_name), group in self._groups.items():
            key: tuple[str | None, ...] = tuple(labels.get(label) for label in names)
            if by_namespace:
                key += (namespace,)
            if by_name:
                key += (name,)
            yield from group.get(key, ())


class Sighting(NamedTuple):
    """An awaited object as an event showed it."""

    t_ns: int
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Test:
    """What must hold of an object for it to be the effect."""

    condition: str | None
    path: JSONPath | None
    equals: str | None
    deleted: bool

    def holds(self, item: Mapping[str, Any], true: set[str]) -> bool:
        """Whether a living object, as `item` shows it, is the effect; `true` are its conditions."""
        if self.deleted or (self.condition is not None and self.condition not in true):
            return False
        return self.path is None or self.path.holds(item, self.equals)


@dataclass(slots=True, eq=False)
class _Awaited:
    """One object that one cause must bring about."""

    probe: str
    cause_id: str
    test: _Test
    description: str
    sightings: list[Sighting] = field(default_factory=list)
    """Before the cause is reported: its request may be answered, and we told, after the effect was seen."""
    cause: tuple[int, int, int] | None = None
    done: bool = False
    seen_ns: int | None = None


class Propagation:
    """Matches causes with sightings. Rows come out of `take_rows` once both are known."""

    def __init__(self, probes: Sequence[ProbeSpec]) -> None:
        self._by_kind: dict[Kind, LabelIndex[_Awaited]] = {}
        self._by_owner: dict[tuple[Kind, str, str], list[_Awaited]] = {}
        self._living: dict[tuple[Kind, str, str], list[_Awaited]] = {}
        """Objects whose deletion is awaited, by key: the news of a deletion need not hold labels and owners."""
        self._by_cause: dict[tuple[str, str], list[_Awaited]] = {}
        self._rows: list[PropagationRow] = []
        self._missing = 0
        for probe in probes:
            index = self._by_kind.setdefault(probe.kind, LabelIndex())
            path = None if probe.jsonpath is None else jsonpath.parse(probe.jsonpath)
            test = _Test(probe.condition, path, probe.equals, probe.deleted)
            for target in probe.targets:
                if not target.labels and target.name is None and target.owner is None:
                    raise ValueError(
                        f"probe {probe.name}: a target of {target.cause_id} has neither labels, a name nor an owner"
                    )
                words = ",".join(f"{key}={value}" for key, value in sorted(target.labels.items()))
                if target.owner is not None:
                    words = words or f"owner {'/'.join(target.owner)}"
                item = _Awaited(probe.name, target.cause_id, test, target.name or words)
                if target.owner is not None:
                    self._by_owner.setdefault((probe.kind, *target.owner), []).append(item)
                else:
                    index.add(item, target.labels, name=target.name)
                self._by_cause.setdefault((probe.phase, target.cause_id), []).append(item)

    @property
    def missing(self) -> int:
        """Effects of reported causes that have not been seen."""
        return self._missing

    @property
    def unreported(self) -> int:
        """Causes that were never reported: their requests were not sent."""
        return sum(1 for items in self._by_cause.values() if items[0].cause is None)

    def so_far(self, probe: str, now_ns: int) -> list[int]:
        """Latencies of a probe's reported causes, in ns, in order; what has not been seen counts with its age."""
        return sorted(
            (item.seen_ns or now_ns) - item.cause[0]
            for items in self._by_cause.values()
            for item in items
            if item.probe == probe and item.cause is not None
        )

    def seen(self, kind: Kind, sighting: Sighting, labels: Mapping[str, str], item: Mapping[str, Any]) -> bool:
        """An object exists, as `item` shows it (for conditions). Returns whether it is an awaited one."""
        if kind not in self._by_kind:
            return False
        found = False
        true: set[str] | None = None
        for awaited in self._awaiting(kind, sighting, labels, item):
            found = True
            if awaited.done:
                continue
            if awaited.test.condition is not None and true is None:
                true = true_conditions(item)
            if awaited.test.deleted:
                known = self._living.setdefault((kind, sighting.namespace, sighting.name), [])
                if awaited not in known:
                    known.append(awaited)
            elif awaited.test.holds(item, true or set()):
                self._sight(awaited, sighting)
        return found

    def gone(self, kind: Kind, sighting: Sighting, labels: Mapping[str, str], item: Mapping[str, Any]) -> None:
        """An object was deleted; `item` is what is known of it, at the least its name."""
        if kind not in self._by_kind:
            return
        living = self._living.pop((kind, sighting.namespace, sighting.name), [])
        for awaited in dict.fromkeys((*living, *self._awaiting(kind, sighting, labels, item))):
            if awaited.test.deleted:
                self._sight(awaited, sighting)

    def _awaiting(
        self, kind: Kind, sighting: Sighting, labels: Mapping[str, str], item: Mapping[str, Any]
    ) -> Iterator[_Awaited]:
        yield from self._by_kind[kind].find(sighting.namespace, sighting.name, labels)
        if self._by_owner:
            for owner in (item.get("metadata") or {}).get("ownerReferences") or ():
                yield from self._by_owner.get((kind, owner_kind(owner), str(owner.get("name"))), ())

    def cause(self, phase: str, cause_id: str, intended_ns: int, sent_ns: int, acked_ns: int) -> None:
        """A request is over. Reports of causes that no probe of `phase` knows, and second ones, are ignored."""
        for awaited in self._by_cause.get((phase, cause_id), ()):
            if awaited.cause is not None:
                continue
            awaited.cause = (intended_ns, sent_ns, acked_ns)
            self._missing += 1
            earlier, awaited.sightings = awaited.sightings, []
            for sighting in earlier:
                self._sight(awaited, sighting)

    def take_rows(self) -> list[PropagationRow]:
        """Rows that became complete since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def give_up(self) -> list[PropagationRow]:
        """Rows for all that is missing; call it once, at the end."""
        return [
            PropagationRow(item.probe, item.cause_id, *item.cause, None, "", item.description)
            for items in self._by_cause.values()
            for item in items
            if item.cause is not None and not item.done
        ]

    def _sight(self, awaited: _Awaited, sighting: Sighting) -> None:
        if awaited.done:
            return
        if awaited.cause is None:
            if len(awaited.sightings) >= _MAX_SIGHTINGS:  # only those since the request was sent will matter
                del awaited.sightings[: _MAX_SIGHTINGS // 2]
            awaited.sightings.append(sighting)
            return
        intended_ns, sent_ns, acked_ns = awaited.cause
        if sighting.t_ns < sent_ns:
            return
        awaited.done = True
        awaited.seen_ns = sighting.t_ns
        self._missing -= 1
        self._rows.append(
            PropagationRow(
                awaited.probe,
                awaited.cause_id,
                intended_ns,
                sent_ns,
                acked_ns,
                sighting.t_ns,
                sighting.namespace,
                sighting.name,
            )
        )


def owner_kind(reference: Mapping[str, Any]) -> str:
    """The full name of the kind in an ownerReference, as `Kind.full_name` writes it."""
    group, slash, _ = str(reference.get("apiVersion", "")).rpartition("/")
    return f"{reference.get('kind')}.{group}" if slash else str(reference.get("kind"))


def true_conditions(item: Mapping[str, Any]) -> set[str]:
    """Types of the status conditions of an object whose status is True."""
    conditions: Iterable[Mapping[str, Any]] = (item.get("status") or {}).get("conditions") or ()
    return {str(condition.get("type")) for condition in conditions if condition.get("status") == "True"}
