"""A target in a container whose processes this machine sees, such as a pod on a node of kind.

A debugger outside that resolves names by its own files calls into nowhere and ends the container (memray #846). Here names are
looked up in the files that the target itself has mapped, by `/proc/PID/root`; what it connects to listens in its own network
namespace; and what is brought in lies in a folder that the harness shares with the pod and names in its PYTHONPATH.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import socket
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from harness.collectors.attach.target import Target, inspect
from harness.core.errors import EnvironmentFault, RunFault, UsageError
from harness.core.handles import Progress, SharedFolder
from harness.toolchain import inject

_PROC = Path("/proc")
_CLONE_NEWNET = 0x40000000
_CAP_SYS_ADMIN = 1 << 21
_WAIT_S = 5.0
_BACKLOG = 8


class MemrayLacking(EnvironmentFault):
    """Nothing of what a process can import there is memray."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What a pod that runs already shares with us: where it may write captures, and where it finds what we put for it."""

    captures: SharedFolder
    tools: SharedFolder


async def examine(pid: int, proc: Path = _PROC, more: Path | None = None) -> Target:
    """Check a process in a container as `target.examine` does one of our own. Raises UsageError, EnvironmentFault.

    memray is looked for where its PYTHONPATH leads, and in `more`, a folder as the container sees it.
    """
    return await asyncio.to_thread(_examine, pid, proc, more)


async def supplied(pid: int, tools: SharedFolder, progress: Progress) -> Target:
    """The same of a process that may have been started without memray: it is put where its container sees it, then."""
    try:
        return await examine(pid)
    except MemrayLacking:
        return await examine(pid, more=await _supply(pid, tools, progress))


async def _supply(pid: int, tools: SharedFolder, progress: Progress) -> Path:
    """Where memray for the interpreter of a process is, as its container sees it."""
    python = await asyncio.to_thread(inspect, pid, contained=True)
    side = await inject.ensure(python, progress)
    name = f"by-hand-{side.name}"
    await asyncio.to_thread(_copy, side, tools.here / name)
    return Path(tools.there) / name


def _copy(side: Path, target: Path) -> None:
    """A directory, whole or not at all: another profile by hand may be doing the same."""
    if target.exists():
        return
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        shutil.copytree(side, scratch / target.name, ignore=shutil.ignore_patterns("__pycache__"))
        with contextlib.suppress(OSError):  # the other one was quicker
            (scratch / target.name).rename(target)
    except OSError as error:
        raise RunFault(f"memray cannot be put there: {error.strerror or error}", place=str(target)) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _examine(pid: int, proc: Path, more: Path | None = None) -> Target:
    place = f"process {pid}"
    python = inspect(pid, contained=True)
    fields = dict(line.split(":", 1) for line in (proc / "self" / "status").read_text().splitlines() if ":" in line)
    if not int(fields["CapEff"], 16) & _CAP_SYS_ADMIN:
        raise EnvironmentFault(
            "is in a container, which only an administrator of this machine may enter", place=place,
            remedy="run the harness as root, or use --memray launch",
        )  # fmt: skip
    root = proc / str(pid) / "root"
    try:
        environ = (proc / str(pid) / "environ").read_bytes().decode(errors="surrogateescape").split("\0")
        paths = dict(item.partition("=")[::2] for item in environ).get("PYTHONPATH", "").split(":")
        found = [
            (Path(path), library) for path in [*paths, *([str(more)] if more else [])] if path.startswith("/")
            for library in sorted(Path(f"{root}{path}", "memray").glob("_inject.*.so"))
        ]  # fmt: skip
    except OSError as error:
        raise UsageError("has ended already", place=place) from error
    if not found:
        raise MemrayLacking(
            "memray is not in its container", place=place,
            remedy="PYTHONPATH must have reached it: a wrapper with -I or -E, or an environment of its own, hides it",
        )  # fmt: skip
    side, library = found[0]
    return Target(pid, python, side, side / "memray" / library.name, str(root))


def listening(pid: int, name: str) -> tuple[socket.socket, socket.socket]:
    """A TCP socket on the loopback and an abstract Unix socket called `name`, both in the network namespace of a process.

    A socket belongs to the namespace in which it was made, whoever uses it. They are made by a thread of their own, which
    ends in there. Raises EnvironmentFault, RunFault.
    """
    made: list[socket.socket] = []
    failures: list[OSError] = []

    def make() -> None:
        try:
            _enter(pid)
            for family, address in ((socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_UNIX, "\0" + name)):
                made.append(socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
                made[-1].bind(address)
                made[-1].listen(_BACKLOG)
        except OSError as error:
            failures.append(error)

    thread = threading.Thread(target=make, name="in-container", daemon=True)
    thread.start()
    thread.join(_WAIT_S)
    if not failures and len(made) == 2 and not thread.is_alive():
        return made[0], made[1]
    for each in made:
        each.close()
    if failures and isinstance(failures[0], PermissionError):
        raise EnvironmentFault(
            f"its network may not be entered: {failures[0].strerror}", place=f"process {pid}", remedy="run as root"
        )
    words = failures[0].strerror if failures else f"no answer within {_WAIT_S:g} s"
    raise RunFault(f"its network cannot be entered: {words}", place=f"process {pid}")


def _enter(pid: int) -> None:
    """Make the network namespace of a process that of the calling thread. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if libc.setns(handle, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(handle)
