"""Where facts go: the protocol between those who witness and the record that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol


class RequestRow(NamedTuple):
    """One request of the load. Times are nanoseconds of the run's clock; `status` 0 means no answer came."""

    phase: str
    worker: int
    attempt: int
    intended_ns: int
    sent_ns: int
    done_ns: int
    verb: str
    kind: str
    name: str
    status: int
    error: str | None
    bytes: int


class PropagationRow(NamedTuple):
    """One cause and one object it concerns. `seen_ns` None: the effect never came; it counts as worse than any."""

    probe: str
    cause_id: str
    intended_ns: int
    sent_ns: int
    acked_ns: int
    seen_ns: int | None
    namespace: str
    name: str


class Sink(Protocol):
    """Takes facts at any time from the run's event loop; never blocks and never raises for a full disk (it warns)."""

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None:
        """One sample of a series; stamped now and with the current phase unless `t_ns` is given."""

    def requests(self, rows: Sequence[RequestRow]) -> None:
        """Requests the load has finished."""

    def propagation(self, rows: Sequence[PropagationRow]) -> None:
        """Propagations that are over: seen, or given up at the end of the run."""

    def event(self, type_: str, /, **fields: object) -> None:
        """One line of events.jsonl; written through at once."""
