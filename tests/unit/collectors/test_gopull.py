"""Pulling the profiles of a Go subject: what is asked for, what is kept of it, and what is said of an answer that is none."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from harness.collectors import goheap, gopull, pprof
from harness.collectors.gopull import GoPuller, Pulled
from harness.collectors.pprof_write import encode
from harness.collectors.registry import create
from harness.core import stacks
from harness.core.errors import EnvironmentFault, RunFault
from harness.core.handles import Ending
from harness.core.stacks import Frame, Held
from tests.collecting import ListSink, ProcessSubject, context, launch

FRAME = (("main.hold", "main.go", 7),)
HEAP = [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")]
TYPES = {
    "heap": HEAP,
    "allocs": HEAP,
    "goroutine": [("goroutine", "count")],
    "profile": [("samples", "count"), ("cpu", "ns")],
}


def _profile(kind: str) -> bytes:
    return encode(
        TYPES[kind], [(FRAME, [index + 1 for index, _ in enumerate(TYPES[kind])])], period=("space", "bytes"), time_ns=1
    )


async def _serving(answer: Callable[[web.Request], web.Response], use: Callable[[str], Awaitable[None]]) -> None:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_get("/debug/pprof/{kind}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await use(f"http://127.0.0.1:{runner.addresses[0][1]}/debug/pprof")
    finally:
        await runner.cleanup()


def test_one_snapshot_at_each_phase_and_windows_between(tmp_path: Path) -> None:
    asked: list[str] = []
    sink = ListSink()
    (collector,) = create([], pyroscope="on")
    plan = launch(["./manager"], sink, tmp_path, runtime="go")
    plan.labels = {"scenario": "s", "arm": "base", "commit": "abc"}

    def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs.removeprefix("/debug/pprof/"))
        return web.Response(body=_profile(request.match_info["kind"]), content_type="application/octet-stream")

    async def use(url: str) -> None:
        await collector.prepare(plan)
        assert "HARNESS_PYROSCOPE" not in plan.env
        await collector.attach(context(sink, ProcessSubject(runtime="go", pprof_url=url), tmp_path))
        await collector.settle()
        for phase in ("create-Secret", "flip"):
            await collector.phase_started(phase)
            await collector.phase_ended(phase)
        await collector.settle()
        async with asyncio.timeout(20):
            while not {"profile?seconds=5", "allocs?seconds=5"} <= set(asked):  # noqa: ASYNC110 # a plain list
                await asyncio.sleep(0.02)
            while not list((tmp_path / "profiles").glob("allocs-*")):  # noqa: ASYNC110 # asked for is not kept
                await asyncio.sleep(0.02)
        await collector.ending()
        await collector.detach()

    asyncio.run(_serving(answer, use))
    assert sink.warnings == []
    snapshots = [event for event in sink.of("profile") if event["file"].startswith("profiles/heap-")]
    assert [event["labels"]["phase"] for event in snapshots] == ["idle", "create-Secret", "flip", "settled"]
    assert [entry for entry in asked if entry.startswith("heap")] == ["heap?gc=1", "heap", "heap", "heap?gc=1"]
    assert snapshots[0]["labels"] == {
        "service_name": "s", "scenario": "s", "arm": "base", "commit": "abc", "run_id": plan.run_id, "phase": "idle",
    }  # fmt: skip
    profiles = {
        path.name.split("-")[0]: pprof.decode(path.read_bytes()) for path in (tmp_path / "profiles").glob("*.pprof")
    }
    assert [name for name, _ in profiles["heap"].types] == ["inuse_objects", "inuse_space"]
    assert [name for name, _ in profiles["allocs"].types] == ["alloc_objects", "alloc_space"]
    assert (tmp_path / "profiles" / "memory.folded").read_text() == "main.hold (main.go) 4\n", "one snapshot, not four"
    assert (tmp_path / "profiles" / "goroutines.folded").read_text() == "main.hold (main.go) 1\n"


def test_the_heap_at_the_end_of_a_run_is_kept_with_its_stacks(tmp_path: Path) -> None:
    sink = ListSink()
    asked: list[str] = []

    def answer(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        if len(asked) > 1:
            return web.Response(text="<html>log in</html>", content_type="text/html")
        return web.Response(body=_profile("heap"), content_type="application/octet-stream")

    async def use(url: str) -> None:
        watched = context(sink, ProcessSubject(runtime="go", pprof_url=url), tmp_path)
        await goheap.keep(watched, "end")
        await goheap.keep(watched, "again")
        await goheap.keep(context(sink, ProcessSubject(runtime="go", pprof_url=None), tmp_path), "none")

    asyncio.run(_serving(answer, use))
    assert asked == ["/debug/pprof/heap"] * 2, "it forces no collection: that was done when the system was at rest"
    (event,) = sink.of("heap_profile")
    assert (event["when"], event["file"]) == ("end", "profiles/heap-end.pprof")
    assert (tmp_path / event["file"]).read_bytes() == _profile("heap")
    kept = stacks.load(tmp_path / event["stacks"])
    assert (kept.kind, kept.source) == ("go-heap", "heap-end.pprof")
    assert kept.moments["inuse"] == {(Frame("main.hold", "main.go", 7),): Held(4, 3)}
    (warning,) = sink.warnings
    assert "no heap profile was kept" in str(warning)
    assert "a web page" in str(warning)


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (
            lambda: web.Response(text="<!doctype html><p>sign in", content_type="text/html"),
            "not a profile but a web page",
        ),
        (lambda: web.Response(text="\n <html>", content_type="text/plain"), "not a profile but a web page"),
        (lambda: web.Response(body=_profile("heap")[:60]), "not a whole profile: it was cut short"),
        (lambda: web.Response(body=gzip.compress(b"\x0b\x0b\x0b")), "not a protobuf message: wire type 3"),
        (lambda: web.Response(body=b""), "not a profile: it is empty"),
        (
            lambda: web.Response(status=404, text="404 page not found"),
            "answered with status 404; look at subject.pprof",
        ),
        (lambda: web.Response(body=_profile("goroutine")), "the profile has no inuse_objects or inuse_space"),
    ],
)
def test_what_is_no_heap_profile_is_one_line(response: Callable[[], web.Response], words: str) -> None:
    taken, warned = list[Pulled](), list[str]()

    async def use(url: str) -> None:
        puller = GoPuller(ProcessSubject(runtime="go", pprof_url=url), taken.append, warned.append)
        for _ in range(2):
            await puller.snapshot("idle")

    asyncio.run(_serving(lambda request: response() if "heap" in request.path else web.Response(status=204), use))
    (line,) = [each for each in warned if each.startswith("heap: ")]
    assert words in line
    assert "\n" not in line
    assert taken == []


def test_a_wrong_url_is_an_error_and_a_dead_subject_is_none() -> None:
    warned: list[str] = []
    gone = ProcessSubject(runtime="go", pprof_url="http://127.0.0.1:1")
    with pytest.raises(RunFault, match=r"127.0.0.1:1/debug/pprof/heap: could not be read"):
        asyncio.run(gopull.fetch(gopull.page(gone.pprof_url, "heap")))
    asyncio.run(GoPuller(gone, lambda _: None, warned.append).snapshot("idle"))
    assert len(warned) == 2
    gone.ended = Ending("oom_limit", 137, 0, "OOM-killed")
    asyncio.run(GoPuller(gone, lambda _: None, warned.append).snapshot("idle"))
    assert len(warned) == 2
    with pytest.raises(EnvironmentFault, match=r"no pprof URL; set subject.pprof"):
        GoPuller(ProcessSubject(runtime="go"), lambda _: None, warned.append).start()
