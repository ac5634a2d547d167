"""tasks: the collector with the agent in a real process, and the Go runtime's heap page."""

from __future__ import annotations

import asyncio
import stat
import sys
from pathlib import Path

import pytest
from aiohttp import web

from harness.collectors.census import Row, least
from harness.collectors.goruntime import goroutines, heap_after_collection
from harness.collectors.tasks import SOCKET_ENV, TasksCollector, backfill
from harness.core.errors import EnvironmentFault, RunFault
from tests.collecting import ListSink, ProcessSubject, context, launch, started

PROGRAM = """
import asyncio, os
async def sleeper(): await asyncio.sleep(60)
async def main():
    await asyncio.gather(*(asyncio.create_task(sleeper()) for _ in range(25)))
if os.fork() == 0:
    asyncio.run(main())
asyncio.run(main())
"""


def test_sums_over_processes_lag_and_heap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for patience in ("_CONNECT_S", "_COLLECT_S", "_CENSUS_S"):
        monkeypatch.setattr(f"harness.collectors.tasks.{patience}", 60.0)

    async def scenario() -> tuple[ListSink, Path]:
        sink, collector = ListSink(), TasksCollector()
        plan = launch([sys.executable, "-c", PROGRAM], sink, tmp_path)
        await collector.prepare(plan)
        socket = Path(plan.env[SOCKET_ENV])
        assert plan.agent_socket == socket
        assert _modes(socket) == (0o600, 0o700)
        with started(plan) as process:
            await collector.attach(context(sink, ProcessSubject(process)))
            async with asyncio.timeout(20):
                while collector.total != 52:  # noqa: ASYNC110  # what is waited for is a plain value
                    await asyncio.sleep(0.02)
                while not sink.values("loop.lag"):  # noqa: ASYNC110  # as above
                    await asyncio.sleep(0.02)
            await collector.settle()
            await collector.detach()
            await collector.detach()
        return sink, socket

    sink, socket = asyncio.run(scenario())
    assert not socket.parent.exists()
    assert sink.last("tasks", coroutine="sleeper") == 50
    assert sink.last("tasks", coroutine="main") == 2
    whole, pymalloc, malloc = (
        sink.last("memory.heap", **labels) for labels in ({}, {"part": "pymalloc"}, {"part": "malloc"})
    )
    assert None not in (whole, pymalloc, malloc)
    assert whole == pymalloc + malloc  # type: ignore[operator] # not None
    (event,) = sink.of("heap")
    assert (event["processes"], event["reasons"]) == (2, [])
    (event,) = sink.of("census")
    rows = {(row["sort"], row["name"]): row["count"] for row in event["rows"]}
    assert (rows["task", "sleeper"], rows["task", "main"], event["totals"]["task"]) == (50, 2, 52), (
        "over both processes"
    )
    assert event["reasons"] == {}
    assert sink.last("overhead.agent.cpu") > 0  # type: ignore[operator] # not None


def _modes(path: Path) -> tuple[int, int]:
    return stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)


def test_agent_that_cannot_get_in_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.collectors.tasks._CONNECT_S", 0.3)

    async def scenario() -> None:
        sink, collector = ListSink(), TasksCollector()
        plan = launch([sys.executable, "-E", "-c", "import time; time.sleep(30)"], sink, tmp_path)
        await collector.prepare(plan)
        with started(plan) as process:
            try:
                await collector.attach(context(sink, ProcessSubject(process)))
            finally:
                await collector.detach()

    with pytest.raises(RunFault, match=r"did not connect.*-I, -E or -S"):
        asyncio.run(scenario())


def test_runtimes_that_cannot_be_looked_into(tmp_path: Path) -> None:
    async def scenario(runtime: str) -> None:
        sink, collector = ListSink(), TasksCollector()
        plan = launch(["./manager"], sink, tmp_path, runtime=runtime)
        await collector.prepare(plan)
        assert plan.inject_dirs == []
        await collector.attach(context(sink, ProcessSubject(runtime=runtime)))

    asyncio.run(scenario("go"))
    with pytest.raises(EnvironmentFault, match="neither Python nor Go"):
        asyncio.run(scenario("other"))


def test_one_long_block_weighs_as_many_probes() -> None:
    assert backfill(1000, 90, 100) == [(1000, 90)]
    assert backfill(1000, 350, 100) == [(1000, 350), (1100, 250), (1200, 150), (1300, 50)]
    assert backfill(1000, 350, 0) == [(1000, 350)]
    assert len(backfill(0, 10**12, 10**8)) == 601


def test_go_heap_after_a_forced_collection() -> None:
    asked: list[str] = []

    async def heap(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        return web.Response(
            text="heap profile: 0: 0 [0: 0] @ heap/1\n\n# runtime.MemStats\n# Alloc = 5\n# HeapAlloc = 123456\n"
        )

    async def empty(_: web.Request) -> web.Response:
        return web.Response(text="nothing")

    async def scenario() -> list[float]:
        app = web.Application()
        app.router.add_get("/debug/pprof/heap", heap)
        app.router.add_get("/empty/pprof/heap", empty)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            with pytest.raises(RunFault, match="no HeapAlloc line"):
                await heap_after_collection(f"{base}/empty/pprof")
            return [await heap_after_collection(url) for url in (base, f"{base}/debug/pprof", f"{base}/debug/pprof/")]
        finally:
            await runner.cleanup()

    assert asyncio.run(scenario()) == [123456.0] * 3
    assert set(asked) == {"/debug/pprof/heap?gc=1&debug=1"}
    with pytest.raises(EnvironmentFault, match="no pprof URL"):
        asyncio.run(heap_after_collection(None))
    with pytest.raises(RunFault, match="could not be read"):
        asyncio.run(heap_after_collection("http://127.0.0.1:1"))


GOROUTINES = """goroutine profile: total 12
7 @ 0x44e0ee 0x46a6a5
#\t0x46a6a4\tinternal/poll.runtime_pollWait+0x84\t/go/src/runtime/netpoll.go:351
#\t0x4d3be6\tnet/http.(*conn).serve+0x5c5\t/go/src/net/http/server.go:2027

4 @ 0x44e0ee
#\t0x1\tsync.runtime_notifyListWait+0x12e\t/go/src/runtime/sema.go:606
#\t0x2\texample.com/queue.(*Typed[...]).Get+0x8f\t/x/queue.go:234
#\t0x3\texample.com/controller.(*Controller[...]).Start.func2+0x1a\t/x/controller.go:250

1 @ 0x1
"""


def test_go_goroutines_by_what_was_started_and_the_top_frame() -> None:
    answers = {"good": GOROUTINES, "cut": GOROUTINES[7:], "page": "<html>sign in</html>", "empty": ""}

    async def profile(request: web.Request) -> web.Response:
        kind = request.match_info["kind"]
        assert request.query["debug"] == "1"
        return web.Response(text=answers[kind], content_type="text/html" if kind == "page" else "text/plain")

    async def scenario() -> list[tuple[str, str | None, int]]:
        app = web.Application()
        app.router.add_get("/{kind}/debug/pprof/goroutine", profile)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            for kind, message in (
                ("cut", "no goroutine profile"),
                ("page", "is a web page"),
                ("empty", "no goroutine"),
            ):
                with pytest.raises(RunFault, match=message):
                    await goroutines(f"{base}/{kind}/debug/pprof")
            return [(row.name, row.frame, row.count) for row in await goroutines(f"{base}/good")]
        finally:
            await runner.cleanup()

    assert asyncio.run(scenario()) == [
        ("net/http.(*conn).serve", "internal/poll.runtime_pollWait", 7),
        ("example.com/controller.(*Controller[...]).Start.func2", "sync.runtime_notifyListWait", 4),
        ("(a goroutine without a stack: it begins or ends)", None, 1),
    ]
    with pytest.raises(EnvironmentFault, match="no pprof URL"):
        asyncio.run(goroutines(None))


def test_a_census_holds_what_was_there_at_both_looks() -> None:
    first = [
        Row("task", "worker", "waiting", "get", 10),
        Row("task", "serve", "running", None, 1),
        Row("task", "gone", None, None, 2),
    ]
    second = [
        Row("task", "worker", "waiting", "get", 6),
        Row("task", "worker", "waiting", "put", 3),
        Row("task", "new", None, None, 1),
    ]
    assert least(first, second) == second[:2]
    assert least(second, first) == second[:2]
