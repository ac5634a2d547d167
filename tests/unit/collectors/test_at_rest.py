"""What is looked at only at rest: page cache, descriptors by sort, metric families by size."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from harness.collectors.exposition import largest_families
from harness.collectors.memory import read_page_cache
from harness.collectors.procfs import fd_sorts


@pytest.mark.parametrize(
    ("text", "value"),
    [("cache 1\nrss 5\ntotal_cache 4096\ntotal_rss 7\n", 4096), ("anon 5\nfile 8192\nfile_mapped 1\n", 8192),
     ("total_cache 9000\nshmem 1\ntotal_shmem 4096\n", 4904), ("file 8192\nshmem 4096\n", 4096),
     ("anon 5\n", None), ("file many\n", None)],
)  # fmt: skip
def test_page_cache_of_both_versions(text: str, value: int | None, tmp_path: Path) -> None:
    (tmp_path / "memory.stat").write_text(text)
    assert read_page_cache(tmp_path) == value


def test_page_cache_of_a_cgroup_that_is_gone(tmp_path: Path) -> None:
    assert read_page_cache(tmp_path / "none") is None


def test_descriptors_by_sort() -> None:
    before = fd_sorts(os.getpid())
    reading, writing = os.pipe()
    opened = os.open("/dev/null", os.O_RDONLY)
    try:
        after = fd_sorts(os.getpid())
    finally:
        for number in (reading, writing, opened):
            os.close(number)
    assert after["pipe"] - before.get("pipe", 0) == 2
    assert after["file"] - before.get("file", 0) == 1
    assert fd_sorts(2**22 + 1) == {}


def test_families_by_how_many_samples_they_have() -> None:
    body = b'# TYPE a gauge\na{x="1"} 1\na{x="2"} 2\n\nb 5\nc\t7\n'
    assert asyncio.run(largest_families(body, 20)) == [("a", 2), ("b", 1), ("c", 1)]
