"""CPU limits of both versions, on plain files that stand for the kernel's (a fake; the real one is in tests/integration)."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault
from harness.subject import limits
from harness.subject.cgroups import MemoryCgroupV2
from harness.subject.cpu import CpuCgroup, set_cpu_limit


class Kernel(limits.Kernel):
    """Makes cgroup directories with the files of the CPU controller in them; its /proc tells of one hierarchy."""

    def __init__(self, root: Path, version: int) -> None:
        super().__init__(root / "proc")
        self.mount = root / "sys"
        (self.proc / "self").mkdir(parents=True)
        self.mount.mkdir()
        (self.proc / "self/cgroup").write_text("2:cpu,cpuacct:/\n" if version == 1 else "0::/\n")
        kind = "cgroup cgroup rw,cpu,cpuacct" if version == 1 else "cgroup2 cgroup2 rw"
        (self.proc / "self/mountinfo").write_text(f"35 31 0:32 / {self.mount} rw - {kind}\n")
        self.names: tuple[str, ...] = (
            ("cpu.cfs_period_us", "cpu.cfs_quota_us") if version == 1 else ("cpu.max", "cgroup.subtree_control")
        )
        if version == 2:
            (self.mount / "cgroup.controllers").write_text("cpu memory\n")
            (self.mount / "cgroup.subtree_control").write_text("memory\n")

    def mkdir(self, path: Path) -> None:
        path.mkdir()
        for name in self.names:
            (path / name).touch()


def test_v1_has_a_cgroup_of_its_own_in_the_cpu_hierarchy(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, 1)
    found = limits.limit_cpu("RUN", 1, 0.5, None, kernel=kernel)
    assert found.path == kernel.mount / "harness-RUN/subject-1"
    assert (found.path / "cpu.cfs_period_us").read_text() == "100000"
    assert (found.path / "cpu.cfs_quota_us").read_text() == "50000"
    (found.path / "cpu.stat").write_text("nr_periods 9\nnr_throttled 4\nthrottled_time 2500000000\n")
    assert (found.throttling().periods, found.throttling().seconds) == (4, 2.5)


def test_v2_limits_the_cgroup_that_limits_memory(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, 2)
    path = kernel.mount / "harness-RUN/subject-0"
    kernel.mkdir(path.parent)
    kernel.mkdir(path)
    (path / "memory.max").write_text("1000")
    found = limits.limit_cpu("RUN", 0, 1.5, MemoryCgroupV2(path), kernel=kernel)
    assert found.path == path
    assert (path / "cpu.max").read_text() == "150000 100000"
    assert [(each / "cgroup.subtree_control").read_text() for each in (kernel.mount, path.parent)] == ["+cpu", "+cpu"]
    (path / "cpu.stat").write_text("usage_usec 1\nnr_throttled 3\nthrottled_usec 1500000\n")
    assert (found.throttling().periods, found.throttling().seconds) == (3, 1.5)


def test_v2_without_a_memory_limit(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, 2)
    found = limits.limit_cpu("RUN", 0, 2, None, kernel=kernel)
    assert (found.path / "cpu.max").read_text() == "200000 100000"


def test_what_was_read_last_stands(tmp_path: Path) -> None:
    (tmp_path / "cpu.stat").write_text("nr_throttled 3\nthrottled_usec 1500000\n")
    found = CpuCgroup(tmp_path, 2, 1)
    found.seal()
    (tmp_path / "cpu.stat").unlink()
    assert found.throttling().periods == 3


def test_where_it_cannot_be_had(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, 1)
    (kernel.proc / "self/mountinfo").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot limit CPU: the cpu controller is not mounted"):
        limits.limit_cpu("RUN", 0, 1, None, kernel=kernel)
    (tmp_path / "other").mkdir()
    other = Kernel(tmp_path / "other", 1)
    other.names = ()  # a cgroup without the controller's files
    with pytest.raises(EnvironmentFault, match=r"cannot limit CPU: .*cpu.cfs_period_us: No such file"):
        limits.limit_cpu("RUN", 0, 1, None, kernel=other)
    assert not (other.mount / "harness-RUN").exists()


def test_the_smallest_quota(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").touch()
    set_cpu_limit(tmp_path, 2, 0.001)
    assert (tmp_path / "cpu.max").read_text() == "1000 100000"
