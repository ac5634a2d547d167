"""The watch against a scripted API server that cuts lines, forgets versions and goes away: by aiohttp, and straight from TLS."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from harness.cluster.pki import Authority
from harness.core.kinds import find
from harness.kube import watch as watch_module
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.stream import Chunks
from harness.kube.watch import WatchEvent, follow, watch
from tests.unit.kube.kube_server import serving, tls_of, write_config

SECRET = find("Secret")


@pytest.fixture(params=["aiohttp", "direct"])
def direct(request: pytest.FixtureRequest) -> bool:
    """Whether the credentials are files, so that watches are read straight from their sockets."""
    return bool(request.param == "direct")


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


def collect(tmp_path: Path, script: Script, count: int, direct: bool, **options: Any) -> list[WatchEvent]:
    authority = Authority(tmp_path / "ca")

    def config(server: str) -> Path:
        return authority.kubeconfig(server, "c", "me") if direct else write_config(tmp_path / "config", server, {})

    async def scenario() -> list[WatchEvent]:
        events: list[WatchEvent] = []
        async with (
            asyncio.timeout(20),
            serving(script.answer, tls_of(authority) if direct else None) as server,
            await Api.connect(config(server)) as api,
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


def test_lines_cut_anywhere_come_whole_and_stamped_in_order(tmp_path: Path, direct: bool) -> None:
    large = "x" * 3_000_000
    text = line("ADDED", item("a", 2, data=large)) + line("MODIFIED", item("a", 3)) + line("DELETED", item("a", 4))
    cuts = [text[:7], text[7:1_000_000], text[1_000_000:-30], text[-30:]]
    before_ns = time.monotonic_ns()
    events = collect(tmp_path, Script([listing(1)], [sends(*cuts)]), 4, direct, metadata_only=False)
    assert told(events) == [("SYNCED", None), ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]
    assert events[1].object["data"] == large
    stamps = [before_ns, *(event.received_ns for event in events), time.monotonic_ns()]
    assert stamps == sorted(stamps)


def test_a_connection_that_ends_is_resumed_from_the_last_bookmark(tmp_path: Path, direct: bool) -> None:
    script = Script(
        [listing(1)],
        [
            sends(line("ADDED", item("a", 5)), line("BOOKMARK", {"metadata": {"resourceVersion": "9"}})),
            503,
            sends(line("ADDED", item("b", 10))),
        ],
    )
    assert told(collect(tmp_path, script, 3, direct)) == [("SYNCED", None), ("ADDED", "a"), ("ADDED", "b")]
    assert script.asked == ["1", "9", "9"]


GONE = line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"})


@pytest.mark.parametrize("forgotten", [410, sends(GONE)], ids=["status", "event"])
def test_a_forgotten_version_is_listed_again_and_told_as_differences(
    tmp_path: Path, forgotten: Stream | int, direct: bool
) -> None:
    script = Script(
        [
            listing(5, item("stays", 1), item("changes", 2), item("goes", 3), item("made-anew", 4)),
            listing(9, item("stays", 1), item("changes", 6), item("comes", 7), item("made-anew", 8, uid="other")),
        ],
        [forgotten, sends(line("MODIFIED", item("stays", 10)))],
    )
    events = collect(tmp_path, script, 12, direct)
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


def test_a_refusal_is_raised_at_once(tmp_path: Path, direct: bool) -> None:
    with pytest.raises(ApiError, match="403 Scripted"):
        collect(tmp_path, Script([listing(1)], [403]), 2, direct)


def test_patience_ends(tmp_path: Path, direct: bool) -> None:
    with pytest.raises(ApiError, match="500 Scripted"):
        collect(tmp_path, Script([listing(1)], [500] * 50), 2, direct, give_up_s=0.3)


def test_a_server_that_is_gone_is_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = write_config(tmp_path / "config", "http://127.0.0.1:1", {})
        async with await Api.connect(config) as api, aclosing(watch(api, SECRET, give_up_s=0.1)) as events:
            with pytest.raises(ApiUnreachable, match="cannot be reached"):
                await anext(events)

    asyncio.run(scenario())


def test_a_server_that_is_gone_is_given_up_also_by_a_connection_of_our_own(tmp_path: Path) -> None:
    async def scenario() -> None:
        config = Authority(tmp_path / "ca").kubeconfig("https://127.0.0.1:1", "c", "me")
        async with await Api.connect(config) as api:
            with pytest.raises(ApiUnreachable, match="cannot be reached"):
                await api.transport.lines("/x", {}, "application/json", 1.0)

    asyncio.run(scenario())


def test_a_connection_that_breaks_off_or_falls_silent_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_SILENCE_S", 3.0)

    async def breaks(response: web.StreamResponse) -> None:
        await response.write(line("ADDED", item("a", 5)))
        await asyncio.sleep(0.05)
        assert response._req is not None
        assert response._req.transport is not None
        response._req.transport.abort()

    async def falls_silent(response: web.StreamResponse) -> None:
        await response.write(line("ADDED", item("b", 6)) + line("ADDED", item("half", 7))[:20])
        await asyncio.sleep(60)

    script = Script([listing(1)], [breaks, falls_silent, sends(line("ADDED", item("c", 8)))])
    assert told(collect(tmp_path, script, 4, direct=True)) == [
        ("SYNCED", None), ("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")
    ]  # fmt: skip
    assert script.asked == ["1", "5", "6"]


def test_what_the_consumer_raises_ends_the_watch(tmp_path: Path, direct: bool) -> None:
    authority = Authority(tmp_path / "ca")
    script = Script([listing(1)], [sends(line("ADDED", item("a", 5)))])

    def take(event: WatchEvent) -> None:
        if event.type == "ADDED":
            raise LookupError("a bug")

    async def scenario() -> None:
        async with asyncio.timeout(20), serving(script.answer, tls_of(authority) if direct else None) as server:
            config = (
                authority.kubeconfig(server, "c", "me") if direct else write_config(tmp_path / "config", server, {})
            )
            async with await Api.connect(config) as api:
                with pytest.raises(LookupError, match="a bug"):
                    await follow(api, SECRET, take)

    asyncio.run(scenario())


def test_of_metadata_all_but_the_managers_of_fields_is_told(tmp_path: Path, direct: bool) -> None:
    metadata = {
        "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "5", "generation": 2, "labels": {"x": "y"},
        "annotations": {"p": "q"}, "finalizers": ["f"], "creationTimestamp": "2026-11-22T09:30:15Z",
        "deletionTimestamp": "2026-11-22T09:31:15Z", "deletionGracePeriodSeconds": 0,
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pu", "controller": True}],
    }  # fmt: skip
    told_of: dict[str, object] = {
        "kind": "PartialObjectMetadata",
        "metadata": {**metadata, "managedFields": [{"manager": "m"}]},
    }
    events = collect(tmp_path, Script([listing(1)], [sends(line("MODIFIED", told_of))]), 2, direct)
    assert events[1].object == {"metadata": metadata}
    again = tmp_path / "again"
    again.mkdir()
    everything = {**told_of, "spec": {"a": [1, 2.5, None]}}
    events = collect(again, Script([listing(1)], [sends(line("MODIFIED", everything))]), 2, direct, metadata_only=False)
    assert events[1].object == everything


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 1000])
def test_chunks_are_taken_apart_wherever_they_are_cut(at_once: int) -> None:
    text = b"5\r\nhello\r\n1;name=value\r\n\n\r\nA\r\n0123\r\n6789\r\n0\r\n\r\nanything"
    chunks, content = Chunks(), b""
    for begin in range(0, len(text), at_once):
        content += chunks.feed(text[begin : begin + at_once])
        if chunks.over:
            break
    assert content == b"hello\n0123\r\n6789"
    assert chunks.over


def test_what_is_no_chunk_is_an_error() -> None:
    with pytest.raises(ConnectionError, match="a chunk without a size"):
        Chunks().feed(b"no number\r\n")
