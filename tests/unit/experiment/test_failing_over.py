"""Who leads, told from the identities in a Lease. The API is a fake: a name that the test sets."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from harness.core.kinds import Kind
from harness.experiment.failover import Electorate, NoTakeover, Standing
from harness.kube.api import Api
from harness.kube.errors import ApiError


class FakeLease:
    """Holder of the one Lease; None: there is no Lease."""

    def __init__(self) -> None:
        self.holder: str | None = None

    async def get(self, _kind: Kind, _name: str, _namespace: str) -> dict[str, Any]:
        if self.holder is None:
            raise ApiError(404, "NotFound", "no such lease")
        return {"spec": {"holderIdentity": self.holder}}


@pytest.fixture
def lease() -> FakeLease:
    return FakeLease()


@pytest.fixture
def electorate(lease: FakeLease) -> Electorate:
    return Electorate(cast("Api", lease), "ns", "lease", lambda: 7)


def soon(work: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(work, 10)

    return asyncio.run(bounded())


def test_an_identity_belongs_to_whom_it_can_only_belong(lease: FakeLease, electorate: Electorate) -> None:
    lease.holder = "a"
    soon(electorate.first_leader(5))
    assert soon(electorate.leader()) == 0
    lease.holder = "b"  # nobody saw how: the other has taken over
    assert soon(electorate.leader()) == 1
    electorate.replaced(0)
    lease.holder = "c"  # the first one's new identity
    assert soon(electorate.leader()) == 0
    lease.holder = "d"
    with pytest.raises(NoTakeover, match="which replica holds the Lease ns/lease as d cannot be told"):
        soon(electorate.leader())


@pytest.mark.parametrize("holder", [None, ""])
def test_a_lease_that_nobody_holds_has_no_leader(lease: FakeLease, electorate: Electorate, holder: str | None) -> None:
    lease.holder = holder
    with pytest.raises(NoTakeover, match="nobody holds the Lease ns/lease"):
        soon(electorate.leader())
    with pytest.raises(
        NoTakeover, match=r"subject.lease: nobody took the Lease ns/lease within 0.1 s; is that the Lease"
    ):
        soon(electorate.first_leader(0.1))


def test_a_takeover_is_by_somebody_else_than_before(lease: FakeLease, electorate: Electorate) -> None:
    async def check() -> None:
        lease.holder = "a"
        taking = asyncio.create_task(electorate.takeover(Standing("a", None), 1, None, 5))
        await asyncio.sleep(0.2)
        assert not taking.done()
        lease.holder = ""  # given up, and not taken yet
        await asyncio.sleep(0.2)
        assert not taking.done()
        lease.holder = "b"
        took = await taking
        assert (took.holder, took.lease_ns, took.reconcile_ns) == ("b", 7, None)
        assert took.reason == "the subject has no metrics that count reconciles"
        assert await electorate.leader() == 1

    soon(check())


def test_no_takeover_in_time_is_one_line(lease: FakeLease, electorate: Electorate) -> None:
    lease.holder = "a"
    with pytest.raises(NoTakeover, match=r"^the other replica did not take the Lease ns/lease within 0.1 s$"):
        soon(electorate.takeover(Standing("a", None), 1, None, 0.1))
