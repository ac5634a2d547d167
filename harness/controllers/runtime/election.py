"""Leader election by a Lease, as client-go does it: several replicas run, one of them works.

The one that holds the Lease renews it; the others look at it every `retry_s` and take it when it has not changed for its
duration. Only the local clock counts, from when a change was seen: the clocks of two machines are never compared. A leader
that cannot renew in time must not go on working, for another may have begun.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.resources import Object, Resource

LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases")
_JITTER = 1.2  # client-go's JitterFactor: replicas that start together must not look together for ever
_CONFLICTS = (404, 409)
_FAILURES = (ApiError, aiohttp.ClientError, OSError, TimeoutError)


class LeadershipLostError(Exception):
    """The Lease could not be renewed in time, or somebody else holds it; the text is one sentence for people."""


@dataclass(frozen=True, slots=True)
class ElectionOptions:
    """Which Lease, and client-go's three times in seconds."""

    namespace: str
    name: str
    duration_s: float = 15.0
    """After so long without a change others may take it."""
    renew_s: float = 10.0
    """A leader that could not renew for so long gives up."""
    retry_s: float = 2.0
    """Between two looks or renewals."""


class Election:
    """One candidate. `wait` until it is leader, then `hold` while it works, then `release`."""

    def __init__(self, api: Api, options: ElectionOptions, identity: str | None = None) -> None:
        self.identity = identity or f"{os.uname().nodename}_{uuid.uuid4()}"
        self.leading = False
        self._api = api
        self._options = options
        self._path = LEASES.path(options.namespace)
        self._seen: tuple[str | None, str | None] | None = None
        self._seen_at = 0.0
        self._log = logging.getLogger("election")

    async def wait(self) -> None:
        """Until this candidate holds the Lease. Refusals and lost connections are tried again."""
        self._log.info("waiting for the lease %s/%s", self._options.namespace, self._options.name)
        while not await self._try_safely():  # noqa: ASYNC110 # it asks the API server
            await asyncio.sleep(self._options.retry_s * (1 + _JITTER * random.random()))  # noqa: S311  # no secret
        self.leading = True
        self._log.info("became leader as %s", self.identity)

    async def hold(self) -> None:
        """Renew until cancelled. Raises LeadershipLostError."""
        renewed = time.monotonic()
        try:
            while True:
                await asyncio.sleep(self._options.retry_s)
                try:
                    async with asyncio.timeout(max(0.0, renewed + self._options.renew_s - time.monotonic())):
                        held = await self._try()
                except _FAILURES as error:
                    self._log.warning("cannot renew the lease: %s: %s", type(error).__name__, error)
                    held = False
                if held:
                    renewed = time.monotonic()
                elif self._seen and self._seen[0] not in (None, "", self.identity):
                    raise LeadershipLostError("leader election lost: another replica holds the lease")
                elif time.monotonic() - renewed >= self._options.renew_s:
                    raise LeadershipLostError(
                        f"leader election lost: the lease was not renewed for {self._options.renew_s:g} s"
                    )
        finally:
            self.leading = False

    async def release(self) -> None:
        """Let the next one have it at once; what goes wrong is of no use to anybody any more."""
        try:
            async with asyncio.timeout(self._options.retry_s):
                lease = await self._api.get(f"{self._path}/{self._options.name}")
                if lease["spec"].get("holderIdentity") == self.identity:
                    spec = lease["spec"] | {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                    await self._api.update(f"{self._path}/{self._options.name}", lease | {"spec": spec})
                    self._log.info("released the lease")
        except _FAILURES as error:
            self._log.warning("cannot release the lease: %s: %s", type(error).__name__, error)

    async def _try_safely(self) -> bool:
        try:
            async with asyncio.timeout(self._options.renew_s):
                return await self._try()
        except _FAILURES as error:
            self._log.warning("cannot take the lease: %s: %s", type(error).__name__, error)
            return False

    async def _try(self) -> bool:
        """Take or renew the Lease if that is due; whether this candidate holds it now."""
        try:
            lease = await self._api.get(f"{self._path}/{self._options.name}")
        except ApiError as error:
            if error.status != 404:
                raise
            return await self._write(None)
        spec = lease.get("spec") or {}
        now = time.monotonic()
        seen = (spec.get("holderIdentity"), spec.get("renewTime"))
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        duration_s = float(spec.get("leaseDurationSeconds") or 0)
        if seen[0] and seen[0] != self.identity and now < self._seen_at + duration_s:
            return False
        return await self._write(lease)

    async def _write(self, lease: Object | None) -> bool:
        """Write the Lease as ours; False where somebody else was faster."""
        spec = {} if lease is None else dict(lease.get("spec") or {})
        if spec.get("holderIdentity") != self.identity:
            transitions = int(spec.get("leaseTransitions") or 0)
            spec |= {"acquireTime": _now(), "leaseTransitions": transitions + (lease is not None)}
        spec |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._options.duration_s)),
            "renewTime": _now(),
        }
        try:
            if lease is None:
                meta = {"name": self._options.name, "namespace": self._options.namespace}
                made = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": spec}
                await self._api.create(self._path, made)
            else:
                await self._api.update(f"{self._path}/{self._options.name}", lease | {"spec": spec})
        except ApiError as error:
            if error.status not in _CONFLICTS:
                raise
            return False
        return True


def _now() -> str:
    """Now as a MicroTime."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
