"""Memory cgroups of both versions, against a directory tree that stands for the kernel's.

This is a fake: plain files, with the few rules of the kernel that matter here put in by `FakeKernel`. That real kernels
behave so is for tests/integration/test_subject_limits.py to show, on machines that have the version.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

import pytest

from harness.core.errors import EnvironmentFault, UsageError
from harness.subject import cgroups, limits
from harness.subject.cgroups import MemoryCgroupV1, MemoryCgroupV2, set_limit

MIB = 2**20
V1_FILES = {
    "memory.limit_in_bytes": "9223372036854771712", "memory.memsw.limit_in_bytes": "9223372036854771712",
    "memory.swappiness": "60", "memory.usage_in_bytes": "4096", "memory.max_usage_in_bytes": "8192", "memory.failcnt": "0",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0", "cgroup.procs": "",
}  # fmt: skip
V2_BASE_FILES = {"cgroup.procs": "", "cgroup.controllers": "", "cgroup.subtree_control": ""}
V2_FILES = {
    "memory.max": "max", "memory.swap.max": "max", "memory.oom.group": "0", "memory.current": "4096", "memory.peak": "8192",
    "memory.events": "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0",
}  # fmt: skip


class FakeKernel(limits.Kernel):
    """A tree of plain files with a /proc of its own. `own` is the cgroup that this process claims to be in."""

    def __init__(self, root: Path, version: Literal[0, 1, 2], own: str = "/", mounted: str = "/") -> None:
        super().__init__(root / "proc")
        self.version = version
        self.mount = root / "sys"
        self.relatives = {os.getpid()}
        self.joinable = True
        self.owners_say: set[Path] = set()
        (self.proc / "self").mkdir(parents=True)
        self.mount.mkdir()
        memory = "4:memory:" + own + "\n" if version == 1 else "4:cpu:/\n"
        (self.proc / "self/cgroup").write_text(f"{memory}0::{own if version == 2 else '/'}\n")
        kind = "cgroup cgroup rw,memory" if version == 1 else "cgroup2 cgroup2 rw"
        (self.proc / "self/mountinfo").write_text(
            f"30 23 0:27 / /proc rw - proc proc rw\n35 31 0:32 {mounted} {self.mount} rw,relatime shared:9 - {kind}\n"
        )
        self.populate(self.mount, top=True)

    def populate(self, path: Path, *, top: bool = False) -> None:
        files = (
            dict(V1_FILES)
            if self.version == 1
            else {"cgroup.procs": "", "cgroup.controllers": "", "cgroup.subtree_control": ""}
        )
        if self.version == 2:
            passed_on = top or "memory" in (path.parent / "cgroup.subtree_control").read_text()
            files["cgroup.controllers"] = "cpu memory" if passed_on else "cpu"
            files |= V2_FILES if passed_on and not top else {}
        for name, content in files.items():
            (path / name).write_text(content + "\n")
        if self.version == 2 and "memory" not in (path / "cgroup.controllers").read_text():
            (path / "cgroup.subtree_control").chmod(0o400)

    def add(self, name: str) -> Path:
        path = self.mount / name
        path.mkdir()
        self.populate(path)
        return path

    def mkdir(self, path: Path) -> None:
        super().mkdir(path)
        self.populate(path)

    def rmdir(self, path: Path) -> None:
        if any(entry.is_dir() for entry in path.iterdir()):
            raise OSError(16, "Device or resource busy")
        shutil.rmtree(path)

    def can_join(self, path: Path) -> None:
        if not self.joinable:
            raise PermissionError(13, "Permission denied", str(path))

    def family(self) -> set[int]:
        return self.relatives

    def delegated(self, path: Path) -> bool:
        return path in self.owners_say


def refuse_while_occupied(monkeypatch: pytest.MonkeyPatch, root: bool = False) -> None:
    """The rule of v2: a cgroup with processes in it cannot pass controllers on."""

    def write(path: Path, value: str) -> None:
        if path.name == "cgroup.subtree_control" and (path.parent / "cgroup.procs").read_text().strip() and not root:
            raise OSError(16, "Device or resource busy", str(path))
        if path.name == "cgroup.procs":
            for other in path.parent.parent.rglob("cgroup.procs"):
                other.write_text("\n".join(pid for pid in other.read_text().split() if pid != value) + "\n")
            value = path.read_text().strip() + f"\n{value}"
        if path.name == "cgroup.subtree_control":
            value = "memory"
        cgroups.write(path, value + "\n")

    monkeypatch.setattr(limits, "write", write)


def test_v1_below_its_own_cgroup(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, 1, own="/user")
    kernel.add("user")
    found = limits.probe(kernel)
    assert (found.ok, found.version, found.parent) == (True, 1, kernel.mount / "user")
    cgroup = limits.create("RUN", 2, 64 * MIB, kernel=kernel)
    assert cgroup.path == kernel.mount / "user/harness-RUN/subject-2"
    assert isinstance(cgroup, MemoryCgroupV1)
    assert cgroup.limit_bytes == 64 * MIB
    assert (cgroup.path / "memory.limit_in_bytes").read_text() == str(64 * MIB)
    assert (cgroup.path / "memory.memsw.limit_in_bytes").read_text() == str(68 * MIB)
    assert (cgroup.path / "memory.swappiness").read_text() == "0"
    assert limits.paths_to_remove(cgroup) == [cgroup.path, cgroup.path.parent]
    assert sorted(path.name for path in (kernel.mount / "user").iterdir() if path.is_dir()) == ["harness-RUN"]


def test_v1_counters(tmp_path: Path) -> None:
    for name, content in (V1_FILES | {"memory.limit_in_bytes": "1000"}).items():
        (tmp_path / name).write_text(content)
    cgroup = MemoryCgroupV1(tmp_path)
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 1\noom_kill 2\n")
    (tmp_path / "memory.failcnt").write_text("17\n")
    (tmp_path / "cgroup.procs").write_text("5\n6\n0\n")  # 0: a process of another pid namespace
    assert (cgroup.usage_bytes(), cgroup.peak_bytes(), cgroup.oom_kills(), cgroup.limit_hits()) == (4096, 8192, 2, 17)
    assert cgroup.counters().limit_ooms is None
    assert cgroup.pids() == [5, 6]


def test_v2_counters_and_sealing(tmp_path: Path) -> None:
    for name, content in V2_FILES.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "cgroup.procs").write_text("5\n")
    set_limit(tmp_path, 2, 64 * MIB, oom_group=True)
    assert [(tmp_path / name).read_text() for name in ("memory.swap.max", "memory.oom.group")] == ["0", "1"]
    (tmp_path / "memory.max").write_text(f"{64 * MIB}\n")
    cgroup = MemoryCgroupV2(tmp_path)
    (tmp_path / "memory.events").write_text("low 0\nhigh 0\nmax 40\noom 3\noom_kill 2\n")
    sealed = cgroup.seal()
    assert (sealed.oom_kills, sealed.limit_hits, sealed.limit_ooms, sealed.peak_bytes) == (2, 40, 3, 8192)
    assert sealed.limit_bytes == 64 * MIB
    shutil.rmtree(tmp_path)
    assert cgroup.oom_kills() == 2
    assert cgroup.counters() == sealed
    assert cgroup.pids() == []


def test_v2_without_peak_and_with_max(tmp_path: Path) -> None:
    for name, content in V2_FILES.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "memory.peak").unlink()
    cgroup = MemoryCgroupV2(tmp_path)
    assert cgroup.peak_bytes() is None
    assert cgroup.limit_bytes == 2**63 - 1


def test_v2_as_root_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_while_occupied(monkeypatch)
    kernel = FakeKernel(tmp_path, 2, own="/session.scope")
    (kernel.mount / "cgroup.subtree_control").write_text("memory\n")
    own = kernel.add("session.scope")
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n")
    found = limits.probe(kernel)
    assert (found.ok, found.parent) == (True, kernel.mount)  # a session's own scope has processes: the next one above
    assert (own / "cgroup.procs").read_text().split() == [str(os.getpid())]
    cgroup = limits.create("RUN", 0, 64 * MIB, oom_group=True, kernel=kernel)
    assert isinstance(cgroup, MemoryCgroupV2)
    assert cgroup.limit_bytes == 64 * MIB
    assert "memory" in (cgroup.path.parent / "cgroup.subtree_control").read_text()


def test_v2_in_a_delegated_scope_the_harness_makes_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_while_occupied(monkeypatch)
    kernel = FakeKernel(tmp_path, 2, own="/run-1.scope")
    (kernel.mount / "cgroup.subtree_control").write_text("memory\n")
    own = kernel.add("run-1.scope")
    kernel.owners_say = {own}
    (own / "cgroup.procs").write_text(f"{os.getpid()}\n")
    cgroup = limits.create("RUN", 0, 64 * MIB, kernel=kernel)
    assert cgroup.path.parent.parent == own
    assert (own / limits.OWN_LEAF / "cgroup.procs").read_text().split() == [str(os.getpid())]
    assert (own / "cgroup.procs").read_text().split() == []


def test_v2_in_a_container_it_makes_room_only_among_relatives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_while_occupied(monkeypatch)
    kernel = FakeKernel(tmp_path, 2)
    (kernel.mount / "cgroup.procs").write_text("1\n77\n")
    kernel.relatives = {1, 78}
    found = limits.probe(kernel)
    assert not found.ok
    assert "Device or resource busy" in found.sentence
    kernel.relatives = {1, 77, 78}
    found = limits.probe(kernel)
    assert found.parent == kernel.mount
    assert (kernel.mount / limits.OWN_LEAF / "cgroup.procs").read_text().split() == ["1", "77"]


def test_v2_where_processes_may_not_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_while_occupied(monkeypatch)
    kernel = FakeKernel(tmp_path, 2)
    kernel.joinable = False
    found = limits.probe(kernel)
    assert not found.ok
    assert found.sentence.endswith(f"({kernel.mount}: Permission denied)")
    assert "systemd-run --user --scope" in str(found.remedy)
    with pytest.raises(EnvironmentFault, match="cannot limit memory: no cgroup v2 below which") as caught:
        limits.create("RUN", 0, 64 * MIB, kernel=kernel)
    assert "\n" not in str(caught.value)
    assert not [path for path in kernel.mount.iterdir() if path.is_dir()]  # the trials were removed


def test_no_memory_controller(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, 0)
    found = limits.probe(kernel)
    assert (found.ok, found.version, found.parent) == (False, None, None)
    assert "no memory controller is mounted" in found.sentence
    with pytest.raises(EnvironmentFault, match="mount the memory controller"):
        limits.create("RUN", 0, 64 * MIB, kernel=kernel)


def test_a_container_that_sees_its_part_of_a_v1_hierarchy(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, 1, own="/docker/abc/inner", mounted="/docker/abc")
    kernel.add("inner")
    hierarchy = limits.find_hierarchy(kernel)
    assert hierarchy is not None
    assert hierarchy.candidates == [kernel.mount / "inner", kernel.mount]


def test_a_cgroup_outside_of_what_is_mounted(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, 1, own="/elsewhere", mounted="/docker/abc")
    hierarchy = limits.find_hierarchy(kernel)
    assert hierarchy is not None
    assert hierarchy.own == kernel.mount


def test_a_failure_half_way_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(tmp_path, 1)

    def refuse(path: Path, *_: object, **__: object) -> None:
        if "probe" not in str(path):
            raise OSError(22, "Invalid argument", str(path / "memory.limit_in_bytes"))

    monkeypatch.setattr(limits, "set_limit", refuse)
    with pytest.raises(EnvironmentFault, match=r"limit_in_bytes: cannot limit memory to 64.0 MiB: Invalid argument"):
        limits.create("RUN", 0, 64 * MIB, kernel=kernel)
    assert not [path for path in kernel.mount.iterdir() if path.is_dir()]


def test_a_limit_that_is_too_small() -> None:
    with pytest.raises(UsageError, match=r"memory limit 1.0 MiB is too small; nothing starts below 4.0 MiB"):
        limits.create("RUN", 0, MIB)
