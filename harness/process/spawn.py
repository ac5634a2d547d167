"""Starting a child under its supervisor."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO

from harness.core.errors import EnvironmentFault, HarnessError, UsageError
from harness.core.ids import RUN_ENV
from harness.process.child import Child, Stream, open_log
from harness.process.leftovers import CHILD_ENV, new_token

START_LIMIT_S = 30.0
"""How long a supervisor may take to start; tens of milliseconds on a machine that is not overloaded."""
LINE_LIMIT = 16 * 2**20
"""Longest line a piped child may write."""
PASSED_ON = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""Of our own environment: without them some interpreters do not start."""

_numbers = itertools.count(1)
_SCRIPT = Path(__file__).with_name("supervisor.py")


async def spawn(
    command: Sequence[str],
    *,
    name: str,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: int | None = None,
    stdout: Path | int | None = None,
    stderr: Path | int | None = None,
    cgroup: Path | Sequence[Path] | None = None,
    remove: Sequence[Path] = (),
    kill_grace_s: float = 2.0,
    cpus: Collection[int] | None = None,
) -> Child:
    """Start `command` under a supervisor that ends its whole tree when the harness goes away.

    `env` is the child's whole environment; HARNESS_CHILD is added. `stdin` is None (empty) or PIPE; `stdout` and
    `stderr` are a file to append to, PIPE, None (dropped) or, for `stderr`, STDOUT. The child joins `cgroup` (one or
    several directories) before it executes anything. The supervisor removes `remove`, in order, when the child is
    released or the harness is gone: files, directories with their content, empty cgroups. `kill_grace_s` lies between
    SIGTERM and SIGKILL for what the main process leaves behind, and for everything when the harness is gone. `cpus` are
    those that the child and all below it may run on; None is those of the harness.

    Raises UsageError when the command cannot be executed, EnvironmentFault when the machine refuses.
    """
    token = new_token(next(_numbers))
    child_env = {**env, CHILD_ENV: token}
    own = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    own |= {key: child_env[key] for key in (RUN_ENV, CHILD_ENV) if key in child_env}
    cgroups = [] if cgroup is None else [cgroup] if isinstance(cgroup, Path) else list(cgroup)
    order = {
        "command": [str(part) for part in command],
        "env": child_env,
        "cwd": str((cwd or Path.cwd()).absolute()),
        "cgroups": [str(path.absolute()) for path in cgroups],
        "remove": [str(path.absolute()) for path in remove],
        "grace_s": kill_grace_s,
        "cpus": None if cpus is None else sorted(cpus),
    }
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            popen = _start_supervisor(theirs, own, stdin, stdout, stderr)
        except OSError as error:
            ours.close()
            raise EnvironmentFault(f"cannot start a supervisor: {error.strerror}", place=name) from error
    ours.setblocking(False)
    child = Child(name, token, ours, popen, remove=tuple(remove))
    try:
        await _connect(child, popen)
        async with asyncio.timeout(START_LIMIT_S):
            await asyncio.get_running_loop().sock_sendall(ours, _line(order))
            answer = await child.started()
        if "failed" in answer:
            raise _failure(answer, name, child_env.get("PATH", os.defpath), order["cwd"])
    except BaseException as error:
        child.abandon()
        await child.release()
        if isinstance(error, TimeoutError):
            raise EnvironmentFault("its supervisor did not start in time", place=name) from None
        raise
    return child


def _line(order: Mapping[str, object]) -> bytes:
    return json.dumps(order).encode() + b"\n"


def _start_supervisor(
    end: socket.socket, env: Mapping[str, str], stdin: int | None, stdout: Path | int | None, stderr: Path | int | None
) -> subprocess.Popen[bytes]:
    opened: list[int] = []

    def target(wanted: Path | int | None) -> int:
        if isinstance(wanted, Path):
            opened.append(open_log(wanted))
            return opened[-1]
        return subprocess.DEVNULL if wanted is None else wanted

    try:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(_SCRIPT), str(end.fileno())],
            stdin=target(stdin), stdout=target(stdout), stderr=target(stderr), bufsize=0,
            env=dict(env), cwd="/", pass_fds=(end.fileno(),), start_new_session=True,
        )  # fmt: skip
    finally:
        for fd in opened:
            os.close(fd)


async def _connect(child: Child, popen: subprocess.Popen[bytes]) -> None:
    loop = asyncio.get_running_loop()

    async def reader(pipe: IO[bytes]) -> Stream:
        stream = Stream(LINE_LIMIT)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        child.transports.append(transport)
        return stream

    if popen.stdout is not None:
        child.stdout = await reader(popen.stdout)
    if popen.stderr is not None:
        child.stderr = await reader(popen.stderr)
    if popen.stdin is not None:
        # The reader is never fed: the protocol is there for the writer's flow control.
        writing, protocol = await loop.connect_write_pipe(
            lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), popen.stdin
        )
        child.transports.append(writing)
        child.stdin = asyncio.StreamWriter(writing, protocol, None, loop)


def _failure(answer: Mapping[str, object], name: str, search: str, cwd: object) -> HarnessError:
    stage, path, number = answer["failed"], str(answer["path"]), int(str(answer["errno"]))
    reason = os.strerror(number)
    if stage == "exec":
        found = shutil.which(path, path=search) if os.sep not in path else str(Path(str(cwd), path))
        if found and Path(found).is_file():
            if not os.access(found, os.X_OK):
                return UsageError(
                    f"cannot start {path!r}: it is not executable", place=name, remedy=f"chmod +x {found}"
                )
            return UsageError(
                f"cannot start {path!r}: {reason}", place=name, remedy="look at the interpreter its first line names"
            )
        where = "on PATH" if os.sep not in path else f"in {cwd}" if not Path(path).is_absolute() else "there"
        return UsageError(f"cannot start {path!r}: no such command {where}", place=name)
    if stage == "cwd":
        return UsageError(f"cannot work in {path!r}: {reason}", place=name)
    if stage == "cgroup":
        remedy = "run `harness doctor` to see what limits are possible here"
        return EnvironmentFault(f"cannot join the cgroup {path}: {reason}", place=name, remedy=remedy)
    if stage == "cpus":
        return EnvironmentFault(f"cannot be pinned to the CPUs {path}: {reason}", place=name, remedy="use --no-pin")
    if stage == "supervisor":
        return EnvironmentFault(
            "its supervisor ended at once", place=name, remedy=f"try `{sys.executable} -I -S -c pass`"
        )
    return EnvironmentFault(f"cannot start: {reason}", place=name)
