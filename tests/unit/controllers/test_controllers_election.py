"""Leader election: one of several holds the Lease, and another takes it when it may. The API is a fake in memory."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from harness.controllers.fleet.options import parse
from harness.controllers.runtime.client import Api, ApiError
from harness.controllers.runtime.election import Election, ElectionOptions, LeadershipLostError

DEADLINE_S = 10.0
FAST = ElectionOptions("ns", "lease", duration_s=1.0, renew_s=0.5, retry_s=0.05)


class FakeLeases:
    """One Lease with optimistic concurrency. `down`: nothing is answered but errors."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec

    async def get(self, path: str) -> dict[str, Any]:
        self._check(path, there=True)
        assert self.lease is not None
        return self.lease

    async def create(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        self._check(path, there=False)
        return self._keep(obj)

    async def update(self, path: str, obj: dict[str, Any]) -> dict[str, Any]:
        self._check(path, there=True)
        assert self.lease is not None
        if obj["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ApiError("PUT", path, 409, "Conflict", "it has changed")
        return self._keep(obj)

    def _keep(self, obj: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.lease = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        return self.lease

    def _check(self, path: str, *, there: bool) -> None:
        assert path.startswith("/apis/coordination.k8s.io/v1/namespaces/ns/leases")
        if self.down:
            raise OSError("down")
        if there and self.lease is None:
            raise ApiError("GET", path, 404, "NotFound", "no such lease")
        if not there and self.lease is not None:
            raise ApiError("POST", path, 409, "AlreadyExists", "it is there")


def candidate(leases: FakeLeases, name: str) -> Election:
    return Election(cast("Api", leases), FAST, name)


async def soon(work: Any) -> Any:
    return await asyncio.wait_for(work, DEADLINE_S)


def test_a_standby_waits_while_the_leader_renews_and_takes_over_when_it_does_not() -> None:
    async def check() -> None:
        leases = FakeLeases()
        first, second = candidate(leases, "first"), candidate(leases, "second")
        await soon(first.wait())
        assert (leases.spec["holderIdentity"], leases.spec["leaseTransitions"], first.leading) == ("first", 0, True)
        holding = asyncio.create_task(first.hold())
        waiting = asyncio.create_task(second.wait())
        version = leases.version
        while leases.version < version + 30:  # noqa: ASYNC110 # 30 renewals take longer than the Lease lasts
            await asyncio.sleep(0.01)
        assert not waiting.done()
        holding.cancel()  # as if it were killed: nothing is released
        await soon(waiting)
        assert (leases.spec["holderIdentity"], leases.spec["leaseTransitions"]) == ("second", 1)

    asyncio.run(soon(check()))


def test_a_released_lease_is_free_at_once() -> None:
    async def check() -> None:
        leases = FakeLeases()
        first, second = candidate(leases, "first"), candidate(leases, "second")
        await soon(first.wait())
        assert await second._try() is False
        await first.release()
        assert leases.spec["holderIdentity"] == ""
        assert await second._try() is True
        await first.release()  # not its own any more: left alone
        assert leases.spec["holderIdentity"] == "second"

    asyncio.run(soon(check()))


@pytest.mark.parametrize("how", ["another replica holds", "not renewed"])
def test_a_leader_that_is_leader_no_more_says_so(how: str) -> None:
    async def check() -> None:
        leases = FakeLeases()
        first = candidate(leases, "first")
        await soon(first.wait())
        if how == "not renewed":
            leases.down = True
        else:
            leases._keep({**leases.lease, "spec": leases.spec | {"holderIdentity": "second", "renewTime": "later"}})  # type: ignore[dict-item]
        with pytest.raises(LeadershipLostError, match=how):
            await soon(first.hold())
        assert not first.leading

    asyncio.run(soon(check()))


def test_of_two_who_write_at_the_same_time_one_wins() -> None:
    async def check() -> None:
        leases = FakeLeases()
        first, second = candidate(leases, "first"), candidate(leases, "second")
        assert await first._write(None) is True
        assert await second._write(None) is False
        seen = dict(await leases.get("/apis/coordination.k8s.io/v1/namespaces/ns/leases/lease"))
        assert await first._write(seen) is True
        assert await second._write(seen) is False
        assert leases.spec["holderIdentity"] == "first"

    asyncio.run(soon(check()))


def test_switches(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["--kubeconfig", "k"]).election is None
    assert parse(["--kubeconfig", "k", "--leader-elect"]).election == ElectionOptions("default", "fleet", 15, 10, 2)
    times = [
        "--leader-elect-lease-duration=3s",
        "--leader-elect-renew-deadline=2s",
        "--leader-elect-retry-period=500ms",
    ]
    names = ["--leader-elect-resource-namespace=ns", "--leader-elect-resource-name=mine"]
    found = parse(["--kubeconfig", "k", "--leader-elect=true", *times, *names]).election
    assert found == ElectionOptions("ns", "mine", 3, 2, 0.5)
    for wrong, said in (
        (["--leader-elect=maybe"], "'maybe' is not one of true, false"),
        (["--leader-elect", "--leader-elect-retry-period=2"], "'2' is not a duration, such as 15s or 500ms"),
        (["--leader-elect", "--leader-elect-renew-deadline=20s"], "lease-duration > renew-deadline > retry-period"),
    ):
        with pytest.raises(SystemExit):
            parse(["--kubeconfig", "k", *wrong])
        assert said in capsys.readouterr().err
