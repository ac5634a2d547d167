"""Two replicas as one subject: sums, the one with the most, and the first that ends. Real processes, fake cgroups."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any, cast

import pytest

from harness.subject.incarnations import Incarnations
from harness.subject.replicas import AllCgroups, AllCpuLimits, Replicas
from tests.collecting import FakeCgroup
from tests.unit.subject.test_incarnations import DIES, nothing, run, starter

WAITS = "import time; print('ready', flush=True); time.sleep(60)"


class Member:
    """Stands for a replica: only its limits."""

    def __init__(self, usage: int, peak: int) -> None:
        self.cgroup: Any = FakeCgroup()
        self.cgroup.usage, self.cgroup.peak = usage, peak
        self.cpu: Any = None


def test_memory_is_of_the_largest_and_kills_add_up_also_of_those_that_were_replaced() -> None:
    members = [Member(10, 30), Member(20, 25)]
    both = AllCgroups(cast("list[Incarnations]", members))
    assert (both.usage_bytes(), both.peak_bytes(), both.oom_kills()) == (20, 30, 0)
    members[0].cgroup.kills = members[1].cgroup.kills = 1
    members[1].cgroup.hits = 5
    assert (both.oom_kills(), both.limit_hits()) == (2, 5)
    members[0].cgroup = FakeCgroup()  # started again
    members[0].cgroup.peak = 1
    assert (both.oom_kills(), both.peak_bytes()) == (2, 30)
    members[0].cgroup.kills = 1
    assert both.oom_kills() == 3
    assert both.path == FakeCgroup().path.parent


def test_throttling_adds_up() -> None:
    class Limit:
        cpus = 0.5

        def throttling(self) -> Any:
            return type("T", (), {"periods": 2, "seconds": 0.25})

    members = [Member(1, 1), Member(1, 1)]
    for member in members:
        member.cpu = Limit()
    limits = AllCpuLimits(cast("list[Incarnations]", members))
    assert (limits.cpus, limits.throttling().periods, limits.throttling().seconds) == (0.5, 4, 0.5)
    members[0].cpu = Limit()
    assert limits.throttling().periods == 6


def test_the_first_that_ends_by_itself_ends_the_subject(tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        first = await Incarnations.start(starter(tmp_path / "a", WAITS))
        second = await Incarnations.start(starter(tmp_path / "b", DIES, str(tmp_path / "now")))
        subject = Replicas([first, second])
        try:
            assert subject.pid == first.pid
            assert {first.pid, second.pid} <= set(subject.pids())
            (tmp_path / "now").touch()
            ending = await subject.wait_ended()
            assert (ending.kind, ending.exit_code) == ("crash", 4)
            assert subject.ending() == ending
        finally:
            await subject.stop(0)
        assert subject.pids() == []

    run(body)


def test_a_replica_that_is_started_again_does_not_end_the_subject(tmp_path: Path) -> None:
    async def body() -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        members = [await Incarnations.start(starter(tmp_path / name, WAITS)) for name in ("a", "b")]
        subject = Replicas(members)
        try:
            waiting = asyncio.create_task(subject.wait_ended())
            await members[0].restart(signal.SIGKILL, nothing)
            assert (subject.ending(), waiting.done(), members[0].incarnation) == (None, False, 1)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        finally:
            await subject.stop(0)

    run(body)
