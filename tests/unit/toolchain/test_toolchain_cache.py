"""The cache: made once, by one at a time, whole or not at all."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault
from harness.toolchain.cache import once


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []

    def step(self, text: str) -> None:
        self.said.append(text)

    detail = step


def test_two_at_once_make_it_once_and_the_second_says_that_it_waits(tmp_path: Path) -> None:
    target, notes, made = tmp_path / "cache" / "thing", Notes(), []

    async def make(directory: Path) -> None:
        made.append(directory)
        (directory / "half").touch()
        await asyncio.sleep(0.3)
        assert not target.exists()
        (directory / "whole").touch()

    async def scenario() -> None:
        assert await asyncio.gather(once(target, notes, make), once(target, notes, make)) == [target, target]
        assert await once(target, notes, make) == target

    asyncio.run(scenario())
    assert len(made) == 1
    assert sorted(path.name for path in target.iterdir()) == ["half", "whole"]
    assert any("waiting for another process that is at it" in line for line in notes.said)


def test_a_failed_or_killed_maker_leaves_nothing_that_counts(tmp_path: Path) -> None:
    target = tmp_path / "thing"
    killed = tmp_path / ".thing.making-abc"
    killed.mkdir()

    async def fail(directory: Path) -> None:
        (directory / "half").touch()
        raise EnvironmentFault("no compiler")

    with pytest.raises(EnvironmentFault, match="no compiler"):
        asyncio.run(once(target, Notes(), fail))
    assert [path.name for path in tmp_path.iterdir()] == [".thing.lock"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def make(directory: Path) -> None:
        raise AssertionError

    with pytest.raises(EnvironmentFault, match=r"the cache cannot be written.*HARNESS_CACHE"):
        asyncio.run(once(tmp_path / "file" / "thing", Notes(), make))
