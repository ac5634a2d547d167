"""What is told of a process before it is touched: real ones, and made-up trees of /proc for what this machine has not."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.collectors.attach import elf, threads
from harness.collectors.attach.target import inspect
from harness.core.errors import EnvironmentFault, HarnessError, UsageError

OTHER = 4711
_CAPABLE = f"{1 << 19:016x}"


def _tree(root: Path, *, us: int = 1000, capable: bool = False, **changes: Any) -> Path:
    """A /proc with us and process 4711, a CPython 3.12 of user 1000, all in the same namespaces."""
    facts: dict[str, Any] = {
        "uid": 1000, "state": "S (sleeping)", "tracer": 0, "exe": "/usr/bin/python3.12", "libraries": [], "mnt": "mnt:[1]",
    }  # fmt: skip
    facts |= changes
    for name, uid, state in (("self", us, "R (running)"), (str(OTHER), facts["uid"], facts["state"])):
        directory = root / name
        (directory / "ns").mkdir(parents=True)
        for space in ("pid", "mnt", "net"):
            (directory / "ns" / space).symlink_to(
                facts["mnt"] if (space, name) == ("mnt", str(OTHER)) else f"{space}:[1]"
            )
        tracer = 0 if name == "self" else facts["tracer"]
        (directory / "status").write_text(
            f"Name:\tx\nState:\t{state}\nTracerPid:\t{tracer}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"
            f"CapEff:\t{_CAPABLE if capable else '0' * 16}\n"
        )
    (root / str(OTHER) / "exe").symlink_to(facts["exe"])
    lines = [f"7f00-7f01 r--p 00000000 08:01 1 {path}\n" for path in (facts["exe"], *facts["libraries"])]
    (root / str(OTHER) / "maps").write_text("".join(lines))
    return root


def _yama(root: Path, scope: int) -> Path:
    path = root / "ptrace_scope"
    path.write_text(f"{scope}\n")
    return path


def test_the_version_is_told_by_the_library_then_by_the_program(tmp_path: Path) -> None:
    nowhere = tmp_path / "no-yama"
    assert inspect(OTHER, _tree(tmp_path / "a"), nowhere).version == (3, 12)
    embedded = _tree(
        tmp_path / "b", exe="/opt/app/server", libraries=["/usr/lib/libc.so.6", "/usr/lib/libpython3.11.so.1.0"]
    )
    assert inspect(OTHER, embedded, nowhere).version == (3, 11)


@pytest.mark.parametrize(
    ("changes", "scope", "words"),
    [
        ({"us": 1001}, 0, r"belongs to user \w+, we are user \w+; run as that user or as root"),
        ({}, 1, r"ptrace_scope is 1\); `sudo sysctl kernel.yama.ptrace_scope=0`"),
        ({"capable": True}, 3, "ptrace_scope is 3"),
        ({"mnt": "mnt:[2]"}, 0, "in another container: its mnt namespace is not ours; run the harness in there"),
        ({"state": "T (stopped)"}, 0, f"is stopped.*`kill -CONT {OTHER}` first"),
        ({"state": "Z (zombie)"}, 0, "has ended already"),
        ({"tracer": 99}, 0, "is traced by process 99 already; detach that debugger"),
        ({"exe": "/usr/bin/python3.12 (deleted)"}, 0, "was replaced since it started; restart it"),
        ({"exe": "/usr/bin/redis-server"}, 0, "is no Python program"),
        ({"libraries": ["/lib/ld-musl-x86_64.so.1"]}, 0, "uses musl"),
        ({"exe": "/usr/bin/python3.10"}, 0, "runs Python 3.10; what is injected needs 3.11 or newer"),
        ({"exe": "/usr/bin/python3.13t"}, 0, "free-threaded"),
    ],
)
def test_what_stands_in_the_way_is_one_line_with_its_remedy(
    tmp_path: Path, changes: dict[str, Any], scope: int, words: str
) -> None:
    with pytest.raises(HarnessError, match=words) as caught:
        inspect(OTHER, _tree(tmp_path / "proc", **changes), _yama(tmp_path, scope))
    assert str(caught.value).startswith(f"process {OTHER}: ")


def test_root_may_trace_others_where_yama_forbids_it_to_users(tmp_path: Path) -> None:
    tree = _tree(tmp_path / "proc", us=0, capable=True)
    assert inspect(OTHER, tree, _yama(tmp_path, 1)).version == (3, 12)


def test_other_machines_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(EnvironmentFault, match="not possible on aarch64 yet; use --memray launch"):
        inspect(OTHER, _tree(tmp_path / "proc"))


def test_real_processes_that_cannot_be_attached_to() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as gone:
        gone.wait(20)
    with pytest.raises(UsageError, match=f"process {gone.pid}: there is no such process"):
        inspect(gone.pid)
    with pytest.raises(UsageError, match="is the harness itself"):
        inspect(os.getpid())
    with subprocess.Popen([str(shutil.which("sleep")), "60"]) as other:
        try:
            with pytest.raises(UsageError, match="is no Python program"):
                inspect(other.pid)
            other.send_signal(signal.SIGSTOP)
            os.waitpid(other.pid, os.WUNTRACED)
            with pytest.raises(UsageError, match="is stopped"):
                inspect(other.pid)
        finally:
            other.kill()


def test_addresses_are_those_of_the_loader() -> None:
    libc = ctypes.CDLL(None)
    images = {Path(image.path).name: image for image in elf.images(os.getpid())}
    image = images["libc.so.6"]
    found = elf.functions(Path(image.path), {"mmap", "munmap", "no_such_function"})
    assert set(found) == {"mmap", "munmap"}
    for name, offset in found.items():
        assert image.start + offset == ctypes.cast(getattr(libc, name), ctypes.c_void_p).value


def test_what_is_no_elf_file_is_refused(tmp_path: Path) -> None:
    for number, data in enumerate(
        (b"", b"#!/bin/sh\n", b"\x7fELF\x02\x01" + b"\0" * 30, b"\x7fELF\x01\x01" + b"\0" * 90)
    ):
        path = tmp_path / str(number)
        path.write_bytes(data)
        with pytest.raises(ValueError, match="ELF"):
            elf.functions(path, {"mmap"})


@pytest.mark.parametrize(
    ("syscall", "expected"),
    [
        ("232 0x3 0x7f 0x1 0xffffffff 0x0 0x0 0x7ffd 0x7fc4", "epoll_wait"),
        ("281 0x3 0x7f 0x1 0xffffffff 0x0 0x0 0x7ffd 0x7fc4", "epoll_pwait"),
        ("202 0x7f 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd 0x7fc4", "futex"),
        ("202 0x7f 0x80 0x2 0x0 0x0 0x0 0x7ffd 0x7fc4", None),  # a mutex: it may be malloc's
        ("0 0x5 0x7f 0x1000 0x0 0x0 0x0 0x7ffd 0x7fc4", None),  # a regular file: it may be the loader's
        ("0 0x6 0x7f 0x1000 0x0 0x0 0x0 0x7ffd 0x7fc4", "read"),
        ("0 0x7 0x7f 0x1000 0x0 0x0 0x0 0x7ffd 0x7fc4", None),  # closed meanwhile
        ("9 0x0 0x1000 0x3 0x22 0x0 0x0 0x7ffd 0x7fc4", None),  # mmap: malloc's or the loader's
        ("running", None),
        ("-1 0x7ffd 0x7fc4", None),
    ],
)
def test_only_system_calls_that_wait_are_rest(tmp_path: Path, syscall: str, expected: str | None) -> None:
    task = tmp_path / "7" / "task" / "7"
    task.mkdir(parents=True)
    (task / "syscall").write_text(syscall + "\n")
    descriptors = tmp_path / "7" / "fd"
    descriptors.mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (descriptors / "5").symlink_to(tmp_path / "file")
    (descriptors / "6").symlink_to(tmp_path / "pipe")
    assert threads.at_rest(7, 7, tmp_path) == expected
    assert [item.call for item in threads.waiting(7, tmp_path)] == ([expected] if expected else [])


def test_profile_says_what_is_wrong_with_its_arguments(tmp_path: Path) -> None:
    def said(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "harness.cli.main", "profile", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        return done.returncode, done.stderr.strip()

    assert said() == (
        2,
        (
            "harness: profile needs a process, a run under way, or a subcommand; harness profile --pid N, "
            "harness profile --run ID, or harness profile diff A B"
        ),
    )
    assert said("--run", "x", "--pid", "1")[0] == 2
    assert said("--pid", "0") == (2, "harness: --pid 0 is no process id")
    assert said("--pid", "1", "--for", "10")[1].startswith("harness: --for: '10' lacks a unit")
    code, words = said("--pid", str(2**22 - 1))
    assert (code, words) == (2, f"harness: process {2**22 - 1}: there is no such process; see `ps -e`")
    assert list(tmp_path.iterdir()) == []
