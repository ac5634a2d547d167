"""The watch against a scripted API server that cuts lines, forgets versions and goes away."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from aiohttp import web
from kube_server import serving, write_config

from harness.core.kinds import find
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.watch import WatchEvent, watch

SECRET = find("Secret")
Stream = Callable[[web.StreamResponse], Awaitable[None]]


def item(name: str, version: int, uid: str | None = None, **extra: object) -> dict[str, object]:
    return {"metadata": {"name": name, "namespace": "n", "uid": uid or name, "resourceVersion": str(version)}, **extra}


def line(type_: str, object_: dict[str, object]) -> bytes:
    return json.dumps({"type": type_, "object": object_}).encode() + b"\n"


class Script:
    """Answers lists and watches in the order given; what a watch asked from is kept."""

    def __init__(self, lists: list[dict[str, object]], watches: list[Stream | int]) -> None:
        self.lists = lists
        self.watches = watches
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response(self.lists.pop(0))
        self.asked.append(request.query["resourceVersion"])
        play = self.watches.pop(0) if self.watches else idle
        if isinstance(play, int):
            return web.json_response({"kind": "Status", "reason": "Scripted", "message": "so"}, status=play)
        response = web.StreamResponse()
        await response.prepare(request)
        await play(response)
        return response


async def idle(response: web.StreamResponse) -> None:
    await asyncio.sleep(60)


def sends(*chunks: bytes) -> Stream:
    async def play(response: web.StreamResponse) -> None:
        for chunk in chunks:
            await response.write(chunk)
            await asyncio.sleep(0.01)

    return play


def listing(version: int, *items: dict[str, object]) -> dict[str, object]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


def collect(tmp_path: Path, script: Script, count: int, **options: float) -> list[WatchEvent]:
    async def scenario() -> list[WatchEvent]:
        events: list[WatchEvent] = []
        async with (
            asyncio.timeout(20),
            serving(script.answer) as server,
            await Api.connect(write_config(tmp_path / "config", server, {})) as api,
            aclosing(watch(api, SECRET, **options)) as stream,
        ):
            async for event in stream:
                events.append(event)
                if len(events) == count:
                    break
        return events

    return asyncio.run(scenario())


def told(events: list[WatchEvent]) -> list[tuple[str, str | None]]:
    return [(event.type, event.object["metadata"].get("name")) for event in events]


def test_lines_cut_anywhere_come_whole_and_stamped_in_order(tmp_path: Path) -> None:
    large = "x" * 3_000_000
    text = line("ADDED", item("a", 2, data=large)) + line("MODIFIED", item("a", 3)) + line("DELETED", item("a", 4))
    cuts = [text[:7], text[7:1_000_000], text[1_000_000:-30], text[-30:]]
    before_ns = time.monotonic_ns()
    events = collect(tmp_path, Script([listing(1)], [sends(*cuts)]), 4)
    assert told(events) == [("SYNCED", None), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert events[1].object["data"] == large
    stamps = [before_ns, *(event.received_ns for event in events), time.monotonic_ns()]
    assert stamps == sorted(stamps)


def test_a_connection_that_ends_is_resumed_from_the_last_bookmark(tmp_path: Path) -> None:
    script = Script(
        [listing(1)],
        [
            sends(line("ADDED", item("a", 5)), line("BOOKMARK", {"metadata": {"resourceVersion": "9"}})),
            503,
            sends(line("ADDED", item("b", 10))),
        ],
    )
    assert told(collect(tmp_path, script, 3)) == [("SYNCED", None), ("ADDED", "a"), ("ADDED", "b")]
    assert script.asked == ["1", "9", "9"]


GONE = line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


@pytest.mark.parametrize("forgotten", [410, sends(GONE)], ids=["status", "event"])
def test_a_forgotten_version_is_listed_again_and_told_as_differences(tmp_path: Path, forgotten: Stream | int) -> None:
    script = Script(
        [
            listing(5, item("stays", 1), item("changes", 2), item("goes", 3), item("made-anew", 4)),
            listing(9, item("stays", 1), item("changes", 6), item("comes", 7), item("made-anew", 8, uid="other")),
        ],
        [forgotten, sends(line("MODIFIED", item("stays", 10)))],
    )
    events = collect(tmp_path, script, 12)
    assert told(events[:5]) == [
        ("ADDED", "stays"), ("ADDED", "changes"), ("ADDED", "goes"), ("ADDED", "made-anew"), ("SYNCED", None)
    ]  # fmt: skip
    assert told(events[5:]) == [
        ("MODIFIED", "changes"),
        ("ADDED", "comes"),
        ("DELETED", "made-anew"),
        ("ADDED", "made-anew"),
        ("DELETED", "goes"),
        ("SYNCED", None),
        ("MODIFIED", "stays"),
    ]
    assert events[9].object["metadata"] == {"namespace": "n", "name": "goes", "uid": "goes", "resourceVersion": "3"}
    assert script.asked == ["5", "9"]


def test_a_refusal_is_raised_at_once(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="403 Scripted"):
        collect(tmp_path, Script([listing(1)], [403]), 2)


def test_patience_ends(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="500 Scripted"):
        collect(tmp_path, Script([listing(1)], [500] * 50), 2, give_up_s=0.3)


def test_a_server_that_is_gone_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = write_config(tmp_path / "config", "http://127.0.0.1:1", {})
        async with await Api.connect(config) as api, aclosing(watch(api, SECRET, give_up_s=0.1)) as events:
            with pytest.raises(ApiUnreachable, match="cannot be reached"):
                await anext(events)

    asyncio.run(scenario())
