"""Counters of a cgroup one by one: each from its own file, the same as all at once, and none from a cgroup that is sealed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.subject.cgroups import MemoryCgroup, MemoryCgroupV1, MemoryCgroupV2, read

_V1 = {
    "memory.limit_in_bytes": "1000", "memory.usage_in_bytes": "10", "memory.max_usage_in_bytes": "20",
    "memory.failcnt": "3", "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
}  # fmt: skip
_V2 = {
    "memory.max": "1000", "memory.current": "10", "memory.peak": "20",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 5\noom_kill 4\n",
}  # fmt: skip


def _made(directory: Path, version: int) -> MemoryCgroup:
    for name, text in (_V1 if version == 1 else _V2).items():
        (directory / name).write_text(text)
    return MemoryCgroupV1(directory) if version == 1 else MemoryCgroupV2(directory)


def _one_by_one(cgroup: MemoryCgroup) -> tuple[int, int | None, int, int]:
    return cgroup.usage_bytes(), cgroup.peak_bytes(), cgroup.oom_kills(), cgroup.limit_hits()


@pytest.mark.parametrize("version", [1, 2])
def test_one_by_one_they_are_what_all_at_once_says(version: int, tmp_path: Path) -> None:
    cgroup = _made(tmp_path, version)
    every = cgroup.counters()
    assert (
        _one_by_one(cgroup)
        == (every.usage_bytes, every.peak_bytes, every.oom_kills, every.limit_hits)
        == (10, 20, 4, 3)
    )


@pytest.mark.parametrize("version", [1, 2])
def test_each_needs_its_own_file_only_and_fails_without_it(version: int, tmp_path: Path) -> None:
    cgroup = _made(tmp_path, version)
    usage = tmp_path / ("memory.usage_in_bytes" if version == 1 else "memory.current")
    for path in tmp_path.iterdir():
        if path != usage:
            path.unlink()
    assert cgroup.usage_bytes() == 10
    with pytest.raises(FileNotFoundError):
        cgroup.oom_kills()
    usage.unlink()
    with pytest.raises(FileNotFoundError):
        cgroup.peak_bytes()


def test_a_kernel_without_a_peak_tells_none(tmp_path: Path) -> None:
    cgroup = _made(tmp_path, 2)
    (tmp_path / "memory.peak").unlink()
    assert cgroup.peak_bytes() is None
    assert cgroup.counters().peak_bytes is None


@pytest.mark.parametrize("version", [1, 2])
def test_a_sealed_cgroup_answers_from_its_last_reading(version: int, tmp_path: Path) -> None:
    cgroup = _made(tmp_path, version)
    cgroup.seal()
    for path in tmp_path.iterdir():
        path.unlink()
    assert _one_by_one(cgroup) == (10, 20, 4, 3)


def test_a_long_file_is_read_to_its_end(tmp_path: Path) -> None:
    path = tmp_path / "cgroup.procs"
    path.write_text("\n".join(map(str, range(100_000))))
    assert read(path).split()[-1] == b"99999"
