"""Whether memray can be attached to a process: everything that can be known before it is touched, with what to do about it."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import pwd
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.handles import Progress, PythonRuntime
from harness.toolchain import inject

_PROC = Path("/proc")
_YAMA = Path("/proc/sys/kernel/yama/ptrace_scope")
_CAP_SYS_PTRACE = 1 << 19
_NAMESPACES = ("pid", "mnt", "net")
_VERSION = re.compile(r"(?:lib)?python(3)\.(\d+)(t?)\b")
_OLDEST = 11
"""Minor version, of those that requirements/inject.txt is pinned for."""
_PROBE_S = 30.0
_PROBE = """
import json, os, sys
sys.path.append(sys.argv[1])
import memray
print(json.dumps([sys.implementation.name, *sys.version_info[:2], os.access(sys.argv[2], os.W_OK | os.X_OK)]))
"""
_KEPT_ENV = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""Of the target's environment: without them some interpreters do not start."""

PTRACE_REMEDY = (
    "run as root or as the process's user; where the kernel or the container forbids tracing: "
    "`sysctl kernel.yama.ptrace_scope=0`, `docker run --cap-add SYS_PTRACE`, or in a pod "
    "`securityContext.capabilities.add: [SYS_PTRACE]`"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A process that passed every check. `side` holds memray for its interpreter, `library` is memray's injection.

    Paths are the target's own; `root` in front of them is where we find them (of a process in a container).
    """

    pid: int
    python: PythonRuntime
    side: Path
    library: Path
    root: str = ""


async def examine(pid: int, captures: Path, progress: Progress) -> Target:
    """Check a process and make ready what will be brought into it. `captures` is the folder it will write to.

    Raises UsageError (it is not a process one could attach to), EnvironmentFault (this machine does not allow it).
    """
    python = await asyncio.to_thread(inspect, pid)
    side = await inject.ensure(python, progress)
    libraries = sorted((side / "memray").glob("_inject.*.so"))
    if not libraries:
        raise EnvironmentFault("this memray cannot be injected", place=str(side), remedy="remove the folder")
    await asyncio.to_thread(_probe, pid, python, side, captures)
    return Target(pid, python, side, libraries[0])


def inspect(pid: int, proc: Path = _PROC, yama: Path = _YAMA, *, contained: bool = False) -> PythonRuntime:
    """The interpreter of a process that may be traced, in a container if `contained`. Raises as `examine` does."""
    place = f"process {pid}"
    _machine(place)
    status = _status(pid, proc)
    if pid == os.getpid():
        raise UsageError("is the harness itself", place=place)
    state = status["State"][:1]
    if state in "ZX":
        raise UsageError("has ended already", place=place)
    tracer = int(status.get("TracerPid", "0"))
    if tracer:
        raise UsageError(f"is traced by process {tracer} already", place=place, remedy="detach that debugger first")
    if state in "Tt":
        raise UsageError("is stopped, so nothing can run in it", place=place, remedy=f"`kill -CONT {pid}` first")
    _may_trace(pid, status, proc, yama)
    try:
        executable = (proc / str(pid) / "exe").readlink()
        maps = (proc / str(pid) / "maps").read_text()
        for name in () if contained else _NAMESPACES:
            if (proc / str(pid) / "ns" / name).readlink() != (proc / "self" / "ns" / name).readlink():
                raise EnvironmentFault(
                    f"is in another container: its {name} namespace is not ours",
                    place=place,
                    remedy="run the harness in there; in a pod: `kubectl debug --target`, with SYS_PTRACE",
                )
    except PermissionError as error:
        raise EnvironmentFault("may not be traced by us", place=place, remedy=PTRACE_REMEDY) from error
    except (FileNotFoundError, ProcessLookupError) as error:
        raise UsageError("has ended already, or is of the kernel", place=place) from error
    return _python(place, executable, maps)


def check_machine() -> None:
    """Raises EnvironmentFault where we may attach to no process of our own user on this machine."""
    _machine("this machine")
    _yama("this machine", bool(int(_status("self", _PROC)["CapEff"], 16) & _CAP_SYS_PTRACE), _YAMA)


def _machine(place: str) -> None:
    if platform.machine() != "x86_64":
        raise EnvironmentFault(
            f"attaching is not possible on {platform.machine()} yet", place=place, remedy="use --memray launch"
        )


def _status(pid: int | str, proc: Path) -> dict[str, str]:
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
    except (OSError, ValueError) as error:
        raise UsageError("there is no such process", place=f"process {pid}", remedy="see `ps -e`") from error
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _may_trace(pid: int, status: dict[str, str], proc: Path, yama: Path) -> None:
    """What can be told of the rights to trace, beforehand and in words."""
    place = f"process {pid}"
    ours = _status("self", proc)
    capable = bool(int(ours["CapEff"], 16) & _CAP_SYS_PTRACE)
    owner, us = int(status["Uid"].split()[0]), int(ours["Uid"].split()[1])
    if owner != us and not capable:
        cause = f"belongs to {_user(owner)}, we are {_user(us)}"
        raise EnvironmentFault(cause, place=place, remedy="run as that user or as root")
    _yama(place, capable, yama)


def _yama(place: str, capable: bool, yama: Path) -> None:
    try:
        scope = int(yama.read_text())
    except (OSError, ValueError):
        scope = 0  # no Yama in this kernel
    if scope == 3 or (scope >= 1 and not capable):
        raise EnvironmentFault(
            f"the kernel forbids tracing (kernel.yama.ptrace_scope is {scope})",
            place=place,
            remedy="`sudo sysctl kernel.yama.ptrace_scope=0`, or run as root"
            if scope < 3
            else "it needs a reboot to lift",
        )


def _user(uid: int) -> str:
    try:
        return f"user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"user {uid}"


def _python(place: str, executable: Path, maps: str) -> PythonRuntime:
    """The interpreter, told by its library or its program's name."""
    if executable.name.endswith(" (deleted)"):
        raise EnvironmentFault(
            "its program was replaced since it started", place=place, remedy="restart it, or use --memray launch"
        )
    libraries = {Path(line.split(maxsplit=5)[5]).name for line in maps.splitlines() if " /" in line and "lib" in line}
    if any(name.startswith("ld-musl") for name in libraries):
        raise EnvironmentFault("uses musl, for which nothing can be injected", place=place, remedy="use a glibc image")
    for name in (*sorted(name for name in libraries if name.startswith("libpython3")), executable.name):
        found = _VERSION.match(name)
        if found:
            if found[3]:
                raise EnvironmentFault(
                    "is a free-threaded Python, which attaching was never tried on",
                    place=place,
                    remedy="use --memray launch",
                )
            if int(found[2]) < _OLDEST:
                cause = f"runs Python 3.{found[2]}; what is injected needs 3.{_OLDEST} or newer"
                raise UsageError(cause, place=place, remedy="run it with a newer Python")
            return PythonRuntime(executable, (int(found[1]), int(found[2])))
    raise UsageError(
        f"is no Python program, as far as can be told ({executable})",
        place=place,
        remedy="memray profiles CPython; look at `harness profile diff` for Go heap profiles",
    )


def environment(pid: int) -> dict[str, str]:
    """What the target's interpreter needs of its environment to start once more. Raises UsageError where it has ended."""
    try:
        environ = (_PROC / str(pid) / "environ").read_bytes().decode(errors="surrogateescape").split("\0")
    except OSError as error:
        raise UsageError("has ended already", place=f"process {pid}") from error
    return {key: value for key, _, value in (item.partition("=") for item in environ) if key in _KEPT_ENV}


def _probe(pid: int, python: PythonRuntime, side: Path, captures: Path) -> None:
    """Import memray with the target's interpreter, as its user, in a process of its own."""
    env = environment(pid)
    try:
        owner = (_PROC / str(pid)).stat()
    except OSError as error:
        raise UsageError("has ended already", place=f"process {pid}") from error
    user: dict[str, Any] = {}
    if owner.st_uid != os.geteuid():
        user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    who = f"{_user(owner.st_uid)} with {python.executable}"
    try:
        done = subprocess.run(
            [str(python.executable), "-I", "-c", _PROBE, str(side), str(captures.absolute())],
            env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_PROBE_S, **user,
        )  # fmt: skip
        name, major, minor, writable = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentFault(f"cannot be asked for its version: {error}", place=str(python.executable)) from error
    except ValueError:
        words = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise EnvironmentFault(
            f"memray cannot be imported by {who}: {words}",
            place=f"process {pid}",
            remedy="HARNESS_CACHE must be a folder which that user may read",
        ) from None
    _judge(pid, python, name, (major, minor), writable, who, captures)


def _judge(
    pid: int, python: PythonRuntime, name: str, version: tuple[int, int], writable: bool, who: str, captures: Path
) -> None:
    wrong: HarnessError | None = None
    if name != "cpython" or version != python.version:
        wrong = UsageError(f"is {name} {version[0]}.{version[1]}, not what its files say", place=f"process {pid}")
    elif not writable:
        wrong = UsageError(f"cannot be written by {who}", place=str(captures), remedy="name another folder with --out")
    if wrong is not None:
        raise wrong
