"""Finding what a crashed run left behind: by environment, and by the names of cgroups."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from harness.core.ids import new_run_id
from harness.process.leftovers import LeftoverCgroup, end_leftovers, leftover_cgroups, leftovers, new_token

RUN = new_run_id()
OTHER = new_run_id()


def fake_process(proc: Path, pid: int, command: str, env: dict[str, str], namespace: str | None = None) -> None:
    entry = proc / str(pid)
    (entry / "ns").mkdir(parents=True)
    (entry / "ns/pid").symlink_to(namespace or Path("/proc/self/ns/pid").readlink())
    (entry / "environ").write_bytes("\0".join(f"{key}={value}" for key, value in env.items()).encode())
    (entry / "cmdline").write_bytes(command.replace(" ", "\0").encode())


def test_processes_are_found_by_their_environment(tmp_path: Path) -> None:
    """In a directory that stands for /proc; owners are looked up in the real one."""
    gone = "4194304-1-1"  # a pid beyond the kernel's greatest
    fake_process(tmp_path, 4190001, "etcd --x", {"HARNESS_RUN_ID": RUN, "HARNESS_CHILD": gone})
    fake_process(tmp_path, 4190002, "kopf run", {"HARNESS_RUN_ID": OTHER, "HARNESS_CHILD": new_token(7)})
    fake_process(tmp_path, 4190003, "somebody's shell", {"HOME": "/"})
    fake_process(tmp_path, os.getpid(), "this process", {"HARNESS_RUN_ID": RUN, "HARNESS_CHILD": gone})
    (tmp_path / "uptime").touch()
    found = sorted(leftovers(proc=tmp_path), key=lambda item: item.pid)
    assert [(item.pid, item.run_id, item.command, item.orphaned) for item in found] == [
        (4190001, RUN, "etcd --x", True),
        (4190002, OTHER, "kopf run", False),
    ]
    assert [item.pid for item in leftovers(RUN, proc=tmp_path)] == [4190001]


def test_a_recycled_pid_is_not_taken_for_the_owner(tmp_path: Path) -> None:
    fake_process(tmp_path, 4190001, "x", {"HARNESS_CHILD": f"{os.getpid()}-1-1"})  # our pid, another start time
    assert leftovers(proc=tmp_path)[0].orphaned


def test_a_run_in_a_container_is_not_judged_from_outside(tmp_path: Path) -> None:
    fake_process(tmp_path, 4190001, "x", {"HARNESS_CHILD": "4194304-1-1"}, namespace="pid:[1]")
    assert not leftovers(proc=tmp_path)[0].orphaned


def test_real_orphans_are_ended() -> None:
    token = "4194304-1-42"
    env = {"HARNESS_RUN_ID": RUN, "HARNESS_CHILD": token, "PATH": os.environ["PATH"]}
    with subprocess.Popen(["sleep", "60"], env=env) as process:
        deadline = time.monotonic() + 10  # its environment is its own a little after Popen returns
        while not (found := [item for item in leftovers(RUN) if item.token == token]):
            assert time.monotonic() < deadline
        assert [item.pid for item in found] == [process.pid]
        assert end_leftovers(found) == []
        assert process.wait(10) == -9


def test_cgroups_are_found_by_their_names(tmp_path: Path) -> None:
    """In a directory that stands for a cgroup mount."""
    inner = tmp_path / "memory" / "user" / f"harness-{RUN}" / "subject-0"
    inner.mkdir(parents=True)
    (tmp_path / "memory" / f"harness-{OTHER}").mkdir()
    (tmp_path / "harness-probe-17").mkdir()
    (inner / "cgroup.procs").write_text("0\n12\n")
    assert leftover_cgroups(RUN, tmp_path) == [LeftoverCgroup(inner.parent, RUN, [12])]
    assert {item.run_id for item in leftover_cgroups(root=tmp_path)} == {RUN, OTHER}
    (inner / "cgroup.procs").unlink()  # a real one needs no such thing
    assert end_leftovers([], leftover_cgroups(RUN, tmp_path)) == []
    assert not inner.parent.exists()
