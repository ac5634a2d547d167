"""Status writes: what differs, when a write is sent, and that a lagging store causes no needless one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from harness.controllers.runtime.informer import Informer
from harness.controllers.runtime.status import StatusPatch, StatusWriter, condition, is_true, merge_diff
from tests.unit.controllers.controllers_fake_api import CONFIG_MAPS, serving


@pytest.mark.parametrize(
    ("old", "new", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({}, {"a": 0}, {"a": 0}),
        ({"a": 1, "b": 2}, {"b": 2}, {"a": None}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}, {"a": {"y": 3}}),
        ({"a": {"x": 1}}, {"a": {"x": 1}}, {}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": None}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"x": 1}}, {"a": 1}, {"a": 1}),
    ],
)
def test_merge_diff(old: dict[str, Any], new: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merge_diff(old, new) == patch


@pytest.mark.parametrize(("mode", "sent"), [(StatusPatch.ALWAYS, [{}]), (StatusPatch.CHANGED, [])])
def test_a_write_that_changes_nothing(tmp_path: Path, mode: StatusPatch, sent: list[Any]) -> None:
    async def check() -> None:
        async with serving(tmp_path) as (fake, api):
            obj = fake.change("ADDED", "a", status={"ready": True})
            writer = StatusWriter(api, Informer(api, CONFIG_MAPS), mode)
            answer = await writer.write(obj, {"ready": True, "gone": None})
            assert fake.patches == sent
            assert answer["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]

    asyncio.run(check())


@pytest.mark.parametrize("mode", list(StatusPatch))
def test_a_write_sends_only_what_differs(tmp_path: Path, mode: StatusPatch) -> None:
    async def check() -> None:
        async with serving(tmp_path) as (fake, api):
            obj = fake.change("ADDED", "a", status={"ready": False, "same": 1, "old": 2})
            writer = StatusWriter(api, Informer(api, CONFIG_MAPS), mode)
            answer = await writer.write(obj, {"ready": True, "same": 1, "old": None})
            assert fake.patches == [{"status": {"ready": True, "old": None}}]
            assert answer["status"] == {"ready": True, "same": 1}

    asyncio.run(check())


def test_what_was_written_counts_until_the_store_has_seen_it(tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(tmp_path) as (fake, api):
            obj = fake.change("ADDED", "a", status={})
            informer = Informer(api, CONFIG_MAPS)
            informer.store.put(obj)
            writer = StatusWriter(api, informer, StatusPatch.CHANGED)
            written = await writer.write(obj, {"ready": True})
            assert await writer.write(obj, {"ready": True}) == written  # the store still holds the old one
            assert len(fake.patches) == 1
            informer._put(written, initial=False)
            assert not writer._written
            await writer.write(obj, {"ready": True})  # a stale copy; the store knows better
            assert len(fake.patches) == 1
            informer._remove("ns/a", None)
            assert not writer._written

    asyncio.run(check())


def test_an_object_of_the_same_name_made_anew_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    async def check() -> None:
        async with serving(tmp_path) as (fake, api):
            obj = fake.change("ADDED", "a", status={})
            informer = Informer(api, CONFIG_MAPS)
            informer.store.put(obj)
            writer = StatusWriter(api, informer, StatusPatch.CHANGED)
            await writer.write(obj, {"ready": True})
            anew = {"metadata": {**obj["metadata"], "uid": "another"}, "status": {}}
            assert writer.latest(anew) is anew

    asyncio.run(check())


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    first = condition({}, "Ready", met=False, message="waiting", now="t1")
    same = condition({"conditions": first}, "Ready", met=False, message="waiting", now="t2")
    met = condition({"conditions": same}, "Ready", met=True, now="t3")
    assert first == same
    assert met == [{"type": "Ready", "status": "True", "lastUpdateTime": "t3"}]
    both = condition({"conditions": met}, "Installed", met=True, now="t4")
    assert [item["type"] for item in both] == ["Ready", "Installed"]
    assert is_true({"status": {"conditions": both}}, "Ready")
    assert not is_true({"status": {"conditions": first}}, "Ready")
    assert not is_true({}, "Ready")
