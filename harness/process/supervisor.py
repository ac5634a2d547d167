"""The small process between the harness and each of its children.

It is run as a script (`python -I -S supervisor.py FD`), not imported, so it uses the standard library only and as
little of it as can be: there is one of these beside every child. FD is one end of a socket pair whose other end only
the harness holds. When that end closes, the harness is gone, however it went, and the whole tree of the child is ended.

Being a subreaper, this process inherits every orphan below it, double forks and new sessions included. So "no
children left" (ECHILD) proves that no descendant is left.

Wire format, one JSON object a line.
From the harness: first the order `{"command", "env", "cwd", "cgroups", "remove", "grace_s", "cpus"}`, then any of
`{"signal": N}` (to the main process), `{"end": GRACE_S}` (end the tree), `{"release": true}` (remove the paths, leave).
To the harness: `{"started": PID}` or `{"failed": STAGE, "errno", "path"}`;
`{"exit": STATUS, "t_ns", "max_rss_bytes", "cpu_s", "sent"}` when the main process ended; `{"gone": true, "stuck": [PIDS]}`
when nothing of the tree is left (`stuck`: what withstood SIGKILL).
"""

# pathlib and contextlib would lengthen the start of every child; exec is this program's purpose.
# ruff: noqa: PTH106, PTH108, PTH110, PTH112, PTH114, PTH118, PTH123, PTH208, SIM105, S606

from __future__ import annotations

import ctypes
import errno
import json
import os
import select
import signal
import sys
import time
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
KILL_LIMIT_S = 20.0  # how long SIGKILL is repeated before what is left is called stuck (uninterruptible sleep)
REMOVE_LIMIT_S = 5.0  # how long a cgroup may stay busy after its last process was reaped
KILL_INTERVAL_S = 0.01


def prctl(option: int, value: int) -> None:
    """`prctl(2)` with one argument; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl({option}): {os.strerror(number)}")


def children(pid: int) -> list[int]:
    """Direct children of `pid` as the kernel lists them; empty when it is gone."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError):
        if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):  # a kernel without CONFIG_PROC_CHILDREN
            return _children_by_parent(pid)
    return found


def _children_by_parent(parent: int) -> list[int]:
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(entry))
    return found


def descendants(pid: int) -> list[int]:
    """Every live process below `pid`, parents before their children."""
    found: list[int] = []
    queue = [pid]
    while queue:
        below = [child for child in children(queue.pop(0)) if child not in found]
        found += below
        queue += below
    return found


def cgroup_pids(path: str) -> list[int]:
    """Processes in a cgroup; empty when it is gone."""
    try:
        with open(os.path.join(path, "cgroup.procs"), "rb") as file:
            return [pid for pid in map(int, file.read().split()) if pid > 0]
    except OSError:
        return []


def send(pid: int, number: int, *, group: bool = False) -> None:
    """Signal a process or its group; one that is gone or not ours is left alone."""
    try:
        (os.killpg if group else os.kill)(pid, number)
    except (ProcessLookupError, PermissionError):
        pass


def remove(path: str) -> None:
    """Remove a file, a directory with all below it, or an empty cgroup; what cannot be removed stays."""
    try:
        if os.path.exists(os.path.join(path, "cgroup.procs")):
            remove_cgroup(path)
        elif os.path.isdir(path) and not os.path.islink(path):
            import shutil  # only now: its imports would double this process's start-up

            shutil.rmtree(path, ignore_errors=True)
        else:
            os.unlink(path)
    except OSError:
        pass


def remove_cgroup(path: str) -> None:
    """`rmdir` of a cgroup, repeated while the kernel still calls it busy. One with cgroups below it is left alone."""
    deadline = time.monotonic() + REMOVE_LIMIT_S
    while not any(os.path.isdir(os.path.join(path, name)) for name in os.listdir(path)):
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        else:
            return
        time.sleep(KILL_INTERVAL_S)


def become(order: dict[str, Any], parent: int, errors: int) -> None:
    """In the forked child: turn into the command. Returns never; a failure is written to `errors`."""
    stage, path = "start", ""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the supervisor died before the line above
            os._exit(127)
        os.setsid()
        for directory in order["cgroups"]:
            stage, path = "cgroup", directory
            with open(os.path.join(directory, "cgroup.procs"), "wb", buffering=0) as file:
                file.write(b"0")  # 0: the writing process
        if order["cpus"] is not None:
            stage, path = "cpus", ",".join(map(str, order["cpus"]))
            os.sched_setaffinity(0, order["cpus"])
        stage, path = "cwd", order["cwd"]
        os.chdir(order["cwd"])
        stage, path = "exec", order["command"][0]
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execvpe(path, order["command"], order["env"])
    except OSError as error:
        os.write(errors, json.dumps({"failed": stage, "errno": error.errno, "path": path}).encode())
    finally:
        os._exit(127)


class Supervisor:
    """One child, from its start until nothing of it is left."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.buffer = b""
        self.pid = 0
        self.exited = False
        self.empty = False
        self.gone = False
        self.released = False
        self.leftovers_told = False
        self.deadline: float | None = None
        self.kill_since: float | None = None
        self.sent: list[int] = []
        self.order: dict[str, Any] = {}
        self.cgroups: list[str] = []

    def tell(self, **message: object) -> None:
        """One line to the harness, if it is still there."""
        try:
            os.write(self.fd, json.dumps(message).encode() + b"\n")
        except OSError:
            pass

    def read(self) -> list[dict[str, Any]] | None:
        """The complete lines that have come; None when the harness is gone."""
        try:
            data = os.read(self.fd, 1 << 20)
        except ConnectionResetError:
            data = b""
        if not data:
            return None
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def start(self) -> bool:
        """Fork the child; False when it could not become the command."""
        reader, writer = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            become(self.order, parent, writer)
        os.close(writer)
        with open(reader, "rb") as file:
            failure = file.read()  # ends when exec closes the other end, or the child exits
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):  # else a pipe from the child would stay open as long as this process lives
            os.dup2(null, fd)
        os.close(null)
        if failure:
            os.waitpid(self.pid, 0)
            self.tell(**json.loads(failure))
            return False
        self.tell(started=self.pid)
        return True

    def reap(self) -> None:
        """Collect every process that ended, whoever's child it was."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                self.empty = True
                return
            if pid == 0:
                self.empty = False
                return
            if pid == self.pid:
                self.exited = True
                self.tell(
                    exit=status, t_ns=time.monotonic_ns(), max_rss_bytes=usage.ru_maxrss * 1024,
                    cpu_s=usage.ru_utime + usage.ru_stime, sent=self.sent,
                )  # fmt: skip

    def obey(self, message: dict[str, Any]) -> None:
        """One command of the harness."""
        if "signal" in message and not self.exited:
            self.sent.append(message["signal"])
            send(self.pid, message["signal"])
        elif "end" in message:
            self.end(message["end"])
        elif "release" in message:
            self.released = True

    def end(self, grace_s: float) -> None:
        """SIGTERM to the child's process group now, SIGKILL to whatever is left after the grace."""
        if not self.exited and grace_s > 0:
            self.sent.append(int(signal.SIGTERM))
            send(self.pid, signal.SIGTERM, group=True)
            send(self.pid, signal.SIGCONT, group=True)  # a stopped process would not see it
        self.end_within(grace_s)

    def end_within(self, grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        self.deadline = deadline if self.deadline is None else min(self.deadline, deadline)

    def tree(self) -> set[int]:
        """Everything that belongs to the child. Only cgroups that are ours to remove count: others may be shared."""
        return {*descendants(os.getpid()), *(pid for path in self.cgroups for pid in cgroup_pids(path))} - {os.getpid()}

    def advance(self) -> float | None:
        """Take the next step towards the end, if there is one; seconds until the one after it."""
        if self.gone:
            return None
        if self.exited and self.empty and not any(map(cgroup_pids, self.cgroups)):
            self.finish([])
            return None
        if self.exited and not self.leftovers_told:  # outside the child's process group, or it ended by itself
            self.leftovers_told = True
            for pid in self.tree():
                send(pid, signal.SIGTERM)
            self.end_within(self.order["grace_s"])
        now = time.monotonic()
        if self.deadline is None:
            return None
        if now < self.deadline:
            # Processes in our cgroup that are not below us do not wake us when they end.
            return min(self.deadline - now, 0.05) if self.exited else self.deadline - now
        if self.kill_since is None:
            self.kill_since = now
            if not self.exited:
                self.sent.append(int(signal.SIGKILL))
        elif now - self.kill_since > KILL_LIMIT_S:
            self.finish(sorted(self.tree()))
            return None
        for pid in self.tree():
            send(pid, signal.SIGKILL)
        return KILL_INTERVAL_S

    def finish(self, stuck: list[int]) -> None:
        self.gone = True
        self.tell(gone=True, stuck=stuck)

    def run(self) -> None:
        """From the order to the end."""
        messages: list[dict[str, Any]] = []
        while not messages:
            lines = self.read()
            if lines is None:
                return
            messages += lines
        self.order, messages = messages[0], messages[1:]
        self.cgroups = [path for path in self.order["cgroups"] if path in self.order["remove"]]
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        wake_reader, wake_writer = os.pipe()
        os.set_blocking(wake_reader, False)
        os.set_blocking(wake_writer, False)
        signal.set_wakeup_fd(wake_writer, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        poll = select.poll()
        poll.register(wake_reader, select.POLLIN)
        poll.register(self.fd, select.POLLIN)
        if self.start():
            self.supervise(poll, wake_reader, messages)
        for path in self.order["remove"]:
            remove(path)

    def supervise(self, poll: select.poll, wake_reader: int, messages: list[dict[str, Any]]) -> None:
        # A fork of the harness could hold the socket's other end open: watch the process itself too.
        harness = os.pidfd_open(os.getppid())
        poll.register(harness, select.POLLIN)
        while True:
            for message in messages:
                self.obey(message)
            messages = []
            self.reap()
            timeout = self.advance()
            if self.gone and self.released:
                return
            ready = [fd for fd, _ in poll.poll(None if timeout is None else max(1, round(timeout * 1000)))]
            lost = False
            if wake_reader in ready:
                numbers = os.read(wake_reader, 4096)
                lost = any(number != signal.SIGCHLD for number in numbers)  # somebody ends the supervisor
            if self.fd in ready:
                lines = self.read()
                lost = lost or lines is None
                messages = lines or []
            if lost or harness in ready:
                for fd in {self.fd, harness} & set(ready):
                    poll.unregister(fd)
                self.released = True
                self.end(self.order["grace_s"])


if __name__ == "__main__":
    end = int(sys.argv[1])
    os.set_inheritable(end, False)
    Supervisor(end).run()
