"""In which order the keys of a work queue are handed out: as they came, or fairly between classes and flows.

`fifo` is client-go's order. Its price is that one event which queues thousands of keys, of which most turn out to need nothing,
stands in front of all that comes after it. `fair` takes turns on two levels: between classes of work (what is known to have
changed, what merely may have, what failed and comes again), and within a class between flows (a GitRepo, a namespace). With c
classes and f flows the first key of a flow waits for c * f others at most, however many there are.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Protocol


class QueueOrder(StrEnum):
    """Values of the switch `queue`."""

    FIFO = "fifo"
    FAIR = "fair"


class Work(IntEnum):
    """What is known of a key that is queued; where it is queued twice the lower one holds."""

    CHANGED = 0
    """Something about it has changed."""
    MAYBE = 1
    """Something has changed that may or may not concern it."""
    RETRY = 2
    """It failed before."""


class Order(Protocol):
    """Keys that wait. None waits twice."""

    def __len__(self) -> int:
        """How many wait."""

    def push(self, key: str, work: Work) -> None:
        """`key` waits from now on."""

    def promote(self, key: str, work: Work) -> None:
        """`key`, which waits, is of this class from now on."""

    def pop(self) -> str:
        """The next one. There must be one."""


class Fifo:
    """First come, first served."""

    def __init__(self) -> None:
        self._keys: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._keys)

    def push(self, key: str, work: Work) -> None:  # noqa: ARG002 - the order's business, not its
        """See `Order`: of whatever class."""
        self._keys.append(key)

    def promote(self, key: str, work: Work) -> None:
        """See `Order`: it keeps its place."""

    def pop(self) -> str:
        """See `Order`."""
        return self._keys.popleft()


def by_namespace(key: str) -> str:
    """The flow of a key of which nothing else is known: its namespace."""
    return key.rpartition("/")[0]


class Fair:
    """Turns between classes, and within a class between flows; within a flow first come, first served."""

    def __init__(self, flow_of: Callable[[str], str] = by_namespace) -> None:
        self._flow_of = flow_of
        self._classes: OrderedDict[Work, OrderedDict[str, OrderedDict[str, None]]] = OrderedDict()
        self._places: dict[str, tuple[Work, str]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def push(self, key: str, work: Work) -> None:
        """See `Order`."""
        flow = self._flow_of(key)
        self._places[key] = work, flow
        self._classes.setdefault(work, OrderedDict()).setdefault(flow, OrderedDict())[key] = None

    def promote(self, key: str, work: Work) -> None:
        """See `Order`: it goes to the end of its flow in the new class."""
        if key in self._places:
            self._take(key)
            self.push(key, work)

    def pop(self) -> str:
        """See `Order`."""
        work, flows = next(iter(self._classes.items()))
        flow, keys = next(iter(flows.items()))
        key = next(iter(keys))
        self._classes.move_to_end(work)
        flows.move_to_end(flow)
        self._take(key)
        return key

    def _take(self, key: str) -> None:
        work, flow = self._places.pop(key)
        flows = self._classes[work]
        del flows[flow][key]
        if not flows[flow]:
            del flows[flow]
        if not flows:
            del self._classes[work]
