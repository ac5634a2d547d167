"""List, watch, resumption and relist of the informer, against a fake API server on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness.controllers.runtime.informer import Event, Informer
from harness.controllers.runtime.resources import name_of
from harness.controllers.runtime.store import BY_NAMESPACE, by_namespace
from tests.unit.controllers.controllers_fake_api import CONFIG_MAPS, FakeApi, serving

Seen = list[tuple[str, str]]


@asynccontextmanager
async def following(directory: Path, before: Callable[[FakeApi], None], **options: Any) -> AsyncIterator[Any]:
    async with serving(directory) as (fake, api):
        before(fake)
        informer = Informer(api, CONFIG_MAPS, backoff_s=(0.001, 0.01), **options)
        seen: Seen = []
        informer.on_event(lambda event: seen.append((_type(event), name_of(event.obj))))
        task = asyncio.create_task(informer.run())
        async with asyncio.timeout(8):
            await informer.synced.wait()
            yield fake, informer, seen
        task.cancel()
        await asyncio.wait([task])


def _type(event: Event) -> str:
    if event.new is None:
        return "deleted"
    return "changed" if event.old else "initial" if event.initial else "created"


def check(
    directory: Path,
    before: Callable[[FakeApi], None],
    test: Callable[[FakeApi, Informer, Seen], Awaitable[None]],
    **options: Any,
) -> None:
    async def within() -> None:
        async with following(directory, before, **options) as (fake, informer, seen):
            await test(fake, informer, seen)

    asyncio.run(within())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the server or the informer will have done; the deadline is that of `following`."""
    while True:
        if condition():
            return
        await asyncio.sleep(0.002)


def three(fake: FakeApi) -> None:
    for name in "abc":
        fake.change("ADDED", name)


def test_the_list_is_read_in_pages_and_told_as_initial(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        assert seen == [("initial", "a"), ("initial", "b"), ("initial", "c")]
        assert [query["limit"] for query in fake.asked("list")] == ["2", "2"]
        assert len(informer.store) == 3

    check(tmp_path, three, test, page_size=2)


def test_an_empty_list_is_synced_too(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        assert seen == []
        assert len(informer.store) == 0

    check(tmp_path, lambda fake: None, test)


def test_changes_are_followed_and_indexed(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        fake.change("ADDED", "d")
        fake.change("MODIFIED", "a", data={"x": "1"})
        fake.change("DELETED", "b")
        await until(lambda: len(seen) == 6)
        assert seen[3:] == [("created", "d"), ("changed", "a"), ("deleted", "b")]
        assert [name_of(obj) for obj in informer.store.by_index(BY_NAMESPACE, "ns")] == ["c", "d", "a"]
        assert informer.store.get("ns/a") == fake.objects["a"]
        assert len(fake.asked("watch")) == 1  # lines cut anywhere were put together again: no error, no resumption

    check(tmp_path, three, test, indexers={BY_NAMESPACE: by_namespace})


def test_a_watch_that_ends_is_resumed_at_the_last_version(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        changed = fake.change("MODIFIED", "a")
        await until(lambda: len(seen) == 4)
        fake.end_watches()
        await until(lambda: len(fake.asked("watch")) == 2)
        assert fake.asked("watch")[1]["resourceVersion"] == changed["metadata"]["resourceVersion"]
        fake.change("ADDED", "d")
        await until(lambda: len(seen) == 5)
        assert seen[3:] == [("changed", "a"), ("created", "d")]
        assert informer.lists == 1

    check(tmp_path, three, test)


def test_a_bookmark_moves_the_version_on_and_is_no_event(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        await until(lambda: len(fake.asked("watch")) == 1)
        await asyncio.sleep(0.02)  # until the watch is registered
        fake.version = 500
        fake.send("BOOKMARK", {"metadata": {"resourceVersion": "500"}})
        fake.end_watches()
        await until(lambda: len(fake.asked("watch")) == 2)
        assert fake.asked("watch")[1]["resourceVersion"] == "500"
        assert len(seen) == 3

    check(tmp_path, three, test)


def test_gone_is_answered_by_a_relist_that_tells_only_differences(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        await until(lambda: len(fake.asked("watch")) == 1)
        fake.failures = [503] * 10_000  # the resumptions during which history goes by
        fake.end_watches()
        await until(lambda: len(fake.asked("watch")) >= 3)
        fake.change("MODIFIED", "a")
        fake.change("DELETED", "b")
        fake.change("ADDED", "d")
        fake.oldest = fake.version
        fake.failures = []
        await until(lambda: informer.lists == 2)
        await until(lambda: len(fake.objects) == len(informer.store))
        assert sorted(seen[3:]) == [("changed", "a"), ("created", "d"), ("deleted", "b")]

    check(tmp_path, three, test)


def test_gone_within_an_open_watch_is_answered_by_a_relist(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        await until(lambda: len(fake.asked("watch")) == 1)
        await asyncio.sleep(0.02)  # until the watch is registered
        fake.send("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
        await until(lambda: informer.lists == 2)
        assert len(seen) == 3

    check(tmp_path, three, test)


def test_an_object_made_anew_under_its_name_is_deleted_and_created(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        await until(lambda: len(fake.asked("watch")) == 1)
        await asyncio.sleep(0.02)  # until the watch is registered
        fake.change("ADDED", "a")  # a new uid under the old name
        await until(lambda: len(seen) == 5)
        assert seen[3:] == [("deleted", "a"), ("created", "a")]

    check(tmp_path, three, test)


def test_errors_are_retried_until_the_server_is_back(tmp_path: Path) -> None:
    def before(fake: FakeApi) -> None:
        three(fake)
        fake.failures = [500, 403, 502]

    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        assert len(seen) == 3
        assert len(fake.asked("list")) == 4

    check(tmp_path, before, test)


def test_metadata_only_asks_for_partial_objects(tmp_path: Path) -> None:
    async def test(fake: FakeApi, informer: Informer, seen: Seen) -> None:
        await until(lambda: len(fake.asked("watch")) == 1)
        accepts = {sort: accept for sort, _, accept in fake.requests}
        assert "as=PartialObjectMetadataList;" in accepts["list"]
        assert "as=PartialObjectMetadata;" in accepts["watch"]

    check(tmp_path, three, test, metadata_only=True)
