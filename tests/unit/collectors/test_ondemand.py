"""Windows of profiling on demand: what opens and closes them. The profiler is a fake; time is short, and never asserted."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.collectors import window_tools
from harness.collectors.ondemand import OnDemandCollector, Settings
from harness.collectors.window_tools import Memray, refusal
from harness.core.errors import RunFault
from harness.core.handles import Ending, Silent
from tests.collecting import ListSink, ProcessSubject, context, launch


class _Tool:
    """A profiler that keeps what it was told."""

    name = "memray"
    heavy = True

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refuses = False
        self.lets_in = asyncio.Event()
        """That it is let into the subject takes until then."""
        self.lets_in.set()

    async def prepare(self) -> None:
        self.calls.append("prepare")

    def attach(self, _: object) -> None:
        self.calls.append("attach")

    async def open(self, number: int, phase: str) -> dict[str, Any]:
        if self.refuses:
            raise RunFault("did not let memray in", place="process 7")
        await self.lets_in.wait()
        self.calls.append(f"open {number} in {phase}")
        return {"pid": 7}

    async def close(self, number: int, phase: str) -> None:
        self.calls.append(f"close {number} in {phase}")

    async def finish(self) -> list[str]:
        self.calls.append("finish")
        return []


class Case:
    """A collector with a fake tool, as a run drives it."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self.sink = ListSink()
        self.tool = _Tool()
        self.subject = ProcessSubject()
        self.collector = OnDemandCollector(progress=Silent(), settings=settings)
        self.context = context(self.sink, self.subject, directory)

    async def start(self) -> None:
        self.collector._sink, self.collector._tool = self.sink, self.tool
        await self.collector.attach(self.context)

    @property
    def windows(self) -> list[tuple[str, str]]:
        return [
            (event["type"], event["window"]) for event in self.sink.events if event["type"] in ("attach", "detach")
        ]  # fmt: skip


def test_a_window_is_open_for_its_phase_and_no_other(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(phases=["flip"]))
        await case.start()
        for phase in ("create-Secret", "flip", "settle-1"):
            await case.collector.phase_started(phase)
            assert case.collector._reasons == (["phase flip"] if phase == "flip" else [])
            await case.collector.phase_ended(phase)
        await case.collector.detach()
        assert case.tool.calls == ["attach", "open 1 in flip", "close 1 in flip", "finish"]
        assert case.windows == [("attach", "1"), ("detach", "1")]
        assert case.collector.heavy

    asyncio.run(main())


def test_a_trigger_opens_none_while_one_is_being_opened(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(phases=["flip"], length=3600.0, at_most=1))
        await case.start()
        case.tool.lets_in.clear()
        opening = asyncio.create_task(case.collector.phase_started("flip"))
        await asyncio.sleep(0)
        assert not case.collector.may_open
        await case.collector.triggered("tasks > 5", 9.0)
        case.tool.lets_in.set()
        await opening
        await case.collector.phase_ended("flip")
        assert [(event["answer"], event["window"]) for event in case.sink.of("trigger")] == [("a window is open", None)]
        assert case.windows == [("attach", "1"), ("detach", "1")], "it is its phase's, and is over with that"
        assert case.sink.of("detach")[0]["why"] == "the phase is over"

    asyncio.run(main())


def test_nothing_is_heavy_that_never_looked(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(phases=["flip"]))
        await case.start()
        await case.collector.detach()
        assert case.tool.calls == ["attach", "finish"]
        assert not case.collector.heavy

    asyncio.run(main())


def test_a_trigger_opens_a_window_that_ends_by_itself_and_then_cools_down(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(length=0.01, cool_down=3600.0))
        await case.start()
        await case.collector.phase_started("flip")
        await case.collector.triggered("tasks > 5", 9.0)
        assert not case.collector.may_open
        async with asyncio.timeout(30):
            while not case.sink.of("detach"):  # noqa: ASYNC110 # it is a list
                await asyncio.sleep(0.01)
        await case.collector.triggered("tasks > 5", 9.0)
        answers = [event["answer"].split(" for ")[0] for event in case.sink.of("trigger")]
        assert answers == ["opens a window", "cooling down"]
        assert [event["window"] for event in case.sink.of("trigger")] == ["1", None]
        assert case.windows == [("attach", "1"), ("detach", "1")]

    asyncio.run(main())


def test_triggers_open_no_more_windows_than_they_may(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(cool_down=0.0, at_most=2))
        await case.start()
        for _ in range(4):
            await case.collector.triggered("tasks > 5", 9.0)
            await case.collector.restarting()
        assert len(case.sink.of("attach")) == 2
        assert case.sink.of("trigger")[-1]["answer"] == "there were 2 windows by triggers already"

    asyncio.run(main())


def test_a_phase_inside_a_triggers_window_goes_on_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(phases=["flip"], length=0.01))
        await case.start()
        await case.collector.triggered("tasks > 5", 9.0)
        await case.collector.phase_started("flip")
        await asyncio.sleep(0.1)
        assert case.windows == [("attach", "1")]
        await case.collector.phase_ended("flip")
        assert case.windows == [("attach", "1"), ("detach", "1")]

    asyncio.run(main())


def test_nothing_looks_while_idle_and_settled_values_are_taken(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(cool_down=0.0))
        await case.start()
        await case.collector.triggered("tasks > 5", 9.0)
        await case.collector.settle()
        await case.collector.triggered("tasks > 5", 9.0)
        assert case.windows == [("attach", "1"), ("detach", "1")]
        assert "at rest" in case.sink.of("trigger")[-1]["answer"]
        await case.collector.phase_started("flip")
        assert case.collector.may_open

    asyncio.run(main())


def test_a_window_that_cannot_be_opened_is_told_and_the_next_is_tried(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(phases=["flip", "flip-2"]))
        await case.start()
        case.tool.refuses = True
        await case.collector.phase_started("flip")
        await case.collector.phase_ended("flip")
        case.tool.refuses = False
        await case.collector.phase_started("flip-2")
        assert case.windows == [("attach", "2")]
        assert case.sink.warnings == [
            "window 1 (phase flip) could not be opened: process 7: did not let memray in"
        ]  # fmt: skip

    asyncio.run(main())


def test_a_window_ends_with_its_subject(tmp_path: Path) -> None:
    async def main() -> None:
        case = Case(tmp_path, Settings(phases=["flip"]))
        await case.start()
        await case.collector.phase_started("flip")
        case.subject.ended = Ending("oom_limit", 137, 4711, "killed")
        await case.collector.detach()
        event = case.sink.of("detach")[0]
        assert (event["why"], event["until_ns"]) == ("the subject had ended", 4711)
        await case.collector.phase_started("flip")
        assert len(case.sink.of("attach")) == 1

    asyncio.run(main())


def test_who_cannot_be_looked_into_is_refused_beforehand(tmp_path: Path) -> None:
    assert refusal(launch(["./manager"], ListSink(), tmp_path, runtime="go")) is None
    assert refusal(launch(["python"], ListSink(), tmp_path)) is None
    assert "only Python and Go programs" in str(refusal(launch(["./it"], ListSink(), tmp_path, runtime="other")))
    in_pod = launch(["python"], ListSink(), tmp_path)
    in_pod.apart = "it is elsewhere"
    assert "in a pod" in str(refusal(in_pod))


class _Attached:
    """An attachment that lets go, or whose process has gone."""

    how, stopped_s, proof = "at rest", 0.0, None

    def __init__(self, target: SimpleNamespace) -> None:
        self.target = target

    async def detach(self) -> None:
        if self.target.gone:
            raise RunFault("does not answer", place=f"process {self.target.pid}")


class Replicas:
    """memray as a tool of two replicas, of which a test says what becomes of them."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sink, self.targets = ListSink(), dict[int, SimpleNamespace]()
        self.replicas = [ProcessSubject(), ProcessSubject()]
        for number, replica in enumerate(self.replicas):
            replica.pid = 11 + number
        self.published: list[dict[str, Any]] = []
        monkeypatch.setattr(window_tools.entry, "enter", self._enter)
        monkeypatch.setattr(window_tools, "publish", self._publish)
        self.refused: set[int] = set()
        self.tool = Memray(launch(["python"], self.sink, directory), Silent())
        self.tool.attach(context(self.sink, ProcessSubject(replicas=self.replicas), directory))

    async def _enter(self, _plan: object, pids: list[int], *_: object) -> _Attached:
        (pid,) = pids
        if pid in self.refused:
            raise RunFault("has ended already", place=f"process {pid}")
        self.targets[pid] = SimpleNamespace(pid=pid, gone=False)
        return _Attached(self.targets[pid])

    async def _publish(self, capture: Path, *_: object, **facts: Any) -> dict[str, Any]:
        return {"capture": capture.name, **facts}


def test_a_window_looks_into_both_replicas_and_each_has_a_capture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        both = Replicas(tmp_path, monkeypatch)
        facts = await both.tool.open(1, "flip")
        assert [(each["replica"], each["pid"]) for each in facts["replicas"]] == [(0, 11), (1, 12)]
        both.targets[11].gone = True  # a failover has ended it: there is another process in its place
        both.replicas[0].pid = 13
        await both.tool.close(1, "flip")
        assert await both.tool.finish() == []
        told = [(event["capture"], event["replica"], event["killed"]) for event in both.sink.of("memray")]
        assert told == [("memray-flip-1-replica-1.bin", 1, False), ("memray-flip-1-replica-0.bin", 0, True)]

    asyncio.run(main())


def test_one_replica_that_lets_nobody_in_does_not_hide_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        both = Replicas(tmp_path, monkeypatch)
        both.refused = {11}
        facts = await both.tool.open(1, "flip")
        assert [each["replica"] for each in facts["replicas"]] == [1]
        assert both.sink.warnings == ["window 1 is without one replica: process 11: has ended already"]
        await both.tool.close(1, "flip")
        both.refused = {11, 12}
        with pytest.raises(RunFault, match="process 11"):
            await both.tool.open(2, "flip")

    asyncio.run(main())


def test_a_replica_that_lives_and_does_not_let_go_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        both = Replicas(tmp_path, monkeypatch)
        await both.tool.open(1, "flip")
        both.targets[12].gone = True
        with pytest.raises(RunFault, match="process 12: does not answer"):
            await both.tool.close(1, "flip")

    asyncio.run(main())
