"""Who of two replicas is leader, and how long the other takes over when it is gone.

A Lease names its holder by an identity that only the replica itself knows the meaning of (client-go: host name and a random
UUID). Which replica that is follows from when an identity was seen: while there was only one, or by elimination.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

from harness.collectors.exposition import Exposition
from harness.core.handles import Ending
from harness.experiment.stage import SetupRefused, Stage
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from harness.scenario.model import Failover
from harness.subject.incarnations import Incarnations
from harness.subject.readiness import LEASE

POLL_S = 0.05
RECONCILE_LIMIT_S = 30.0
"""A new leader that reconciles nothing for so long has nothing to reconcile."""
_NOT_FOUND = 404
_RECONCILES = "controller_runtime_reconcile_total"
_TIMEOUT = aiohttp.ClientTimeout(total=2)


class NoTakeover(SetupRefused):
    """Leadership is not as a failover needs it: the run is invalid."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stood before the leader was ended: who held the Lease, and what the other replica had counted."""

    holder: str | None
    reconciles: float | None


@dataclass(frozen=True, slots=True)
class Takeover:
    """When the other replica had taken over; run time in ns. `reconcile_ns` None: not seen, and `reason` says why."""

    holder: str
    lease_ns: int
    reconcile_ns: int | None
    reason: str | None


class Electorate:
    """The Lease of a subject with two replicas, looked at with the run's own identity."""

    def __init__(self, api: Api, namespace: str, name: str, now_ns: Callable[[], int]) -> None:
        self.lease = f"{namespace}/{name}"
        self._api = api
        self._namespace = namespace
        self._name = name
        self._now_ns = now_ns
        self._known: dict[str, int] = {}

    async def first_leader(self, timeout_s: float) -> None:
        """Wait until the only replica there is, the first, holds the Lease. Raises NoTakeover."""
        holder = await self._until_held(by_other_than=None, timeout_s=timeout_s)
        if holder is None:
            raise NoTakeover(
                f"nobody took the Lease {self.lease} within {timeout_s:g} s", place="subject.lease",
                remedy="is that the Lease by which the command elects its leader, and is election switched on?",
            )  # fmt: skip
        self._known[holder] = 0

    async def leader(self) -> int:
        """The replica that holds the Lease now. Raises NoTakeover where nobody does, or nobody can tell which."""
        holder = await self.holder()
        if holder is None:
            raise NoTakeover(f"nobody holds the Lease {self.lease}")
        if holder not in self._known:
            unknown = {0, 1} - set(self._known.values())
            if len(unknown) != 1:
                raise NoTakeover(f"which replica holds the Lease {self.lease} as {holder} cannot be told")
            self._known[holder] = unknown.pop()
        return self._known[holder]

    def replaced(self, replica: int) -> None:
        """A replica has been started again: it has another identity from now on."""
        self._known = {holder: number for holder, number in self._known.items() if number != replica}

    async def holder(self) -> str | None:
        """The identity in the Lease; None where nobody holds it, or it cannot be asked for just now."""
        try:
            lease = await self._api.get(LEASE, self._name, self._namespace)
        except ApiUnreachable:
            return None
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            return None
        return (lease.get("spec") or {}).get("holderIdentity") or None

    async def standing(self, metrics_url: str | None) -> Standing:
        """How it stands now; `metrics_url` is of the replica that is not leader."""
        return Standing(await self.holder(), None if metrics_url is None else await _reconciles(metrics_url))

    async def takeover(self, before: Standing, replica: int, metrics_url: str | None, timeout_s: float) -> Takeover:
        """Wait until `replica` leads, and until it has reconciled. Raises NoTakeover without the Lease within `timeout_s`."""
        holder = await self._until_held(by_other_than=before.holder, timeout_s=timeout_s)
        if holder is None:
            raise NoTakeover(f"the other replica did not take the Lease {self.lease} within {timeout_s:g} s")
        lease_ns = self._now_ns()
        self._known[holder] = replica
        if metrics_url is None:
            return Takeover(holder, lease_ns, None, "the subject has no metrics that count reconciles")
        deadline = asyncio.get_running_loop().time() + RECONCILE_LIMIT_S
        while asyncio.get_running_loop().time() < deadline:
            now = await _reconciles(metrics_url)
            if now is not None and now > (before.reconciles or 0.0):
                return Takeover(holder, lease_ns, self._now_ns(), None)
            await asyncio.sleep(POLL_S)
        return Takeover(holder, lease_ns, None, f"the new leader counted no reconcile within {RECONCILE_LIMIT_S:g} s")

    async def _until_held(self, *, by_other_than: str | None, timeout_s: float) -> str | None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while asyncio.get_running_loop().time() < deadline:
            holder = await self.holder()
            if holder is not None and holder != by_other_than:
                return holder
            await asyncio.sleep(POLL_S)
        return None


async def fail_over(
    stage: Stage,
    electorate: Electorate,
    replicas: Sequence[Incarnations],
    step: Failover,
    while_alive: Callable[[Coroutine[Any, Any, Ending]], Awaitable[Ending]],
) -> str | None:
    """End the leader, see the other take over, start the ended one again; what came of it, in words.

    None where the leader had died of something else just then. Raises NoTakeover, SubjectNotReady, and what `while_alive`
    raises where a replica ends by itself meanwhile.
    """
    number = await electorate.leader()
    leader, other = replicas[number], replicas[1 - number]
    standing = await electorate.standing(other.metrics_url)
    before, killed_ns = leader.incarnation, stage.clock.now_ns()
    taking = asyncio.create_task(
        electorate.takeover(standing, 1 - number, other.metrics_url, step.timeout), name="takeover"
    )
    found: list[Takeover] = []

    async def between() -> None:
        found.append(await taking)

    try:
        ending = await while_alive(leader.restart(signal.Signals[f"SIG{step.signal}"], between))
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        again = leader.incarnation != before
        for took in found:
            stage.writer.event(
                "failover", replica=number, signal=step.signal, killed_ns=killed_ns, lease=electorate.lease,
                holder=took.holder, lease_ns=took.lease_ns, reconcile_ns=took.reconcile_ns, reason=took.reason,
                started_ns=leader.started_ns if again else None, ready_ns=leader.ready_ns if again else None,
            )  # fmt: skip
    if not again:
        return None
    electorate.replaced(number)
    took = found[0]
    lease = f"the other held the Lease after {(took.lease_ns - killed_ns) / 1e9:.1f} s"
    if took.reconcile_ns is None:
        return f"replica {number}: {ending.sentence}; {lease}; {took.reason}"
    return f"replica {number}: {ending.sentence}; {lease}, and reconciled after {(took.reconcile_ns - killed_ns) / 1e9:.1f} s"


async def _reconciles(url: str) -> float | None:
    """What a replica has counted so far; None where it does not tell just now."""
    try:
        async with aiohttp.ClientSession(trust_env=False, timeout=_TIMEOUT) as session, session.get(url) as response:
            _, kept = await Exposition((_RECONCILES.encode(),), {}).read(await response.content.read(64 << 20))
        found = [value for series, value in kept if series.name == _RECONCILES]
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError, IndexError, KeyError):
        return None
    return sum(found) if found else None
