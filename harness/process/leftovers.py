"""What a harness that crashed together with its supervisors would leave behind, and how to end it.

The registry is the system itself, so it cannot be out of date: every child carries HARNESS_RUN_ID and HARNESS_CHILD in
its environment, and the cgroups of a run carry the run id in their names.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.ids import RUN_ENV, is_run_id

CHILD_ENV = "HARNESS_CHILD"
"""Environment variable that names the tree a process belongs to: `PID-STARTTIME-NUMBER` of the harness and the child."""
CGROUP_PREFIX = "harness-"
"""A run's cgroups are below a directory of this name followed by the run id."""
END_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """One live process of a run. `orphaned`: the harness that started it is gone."""

    pid: int
    run_id: str | None
    token: str
    command: str
    orphaned: bool


@dataclass(frozen=True, slots=True)
class LeftoverCgroup:
    """One cgroup directory of a run, with the processes in it and below."""

    path: Path
    run_id: str
    pids: Sequence[int]


def new_token(number: int) -> str:
    """The HARNESS_CHILD value of this process's `number`-th child."""
    return f"{os.getpid()}-{_start_time(os.getpid())}-{number}"


def leftovers(run_id: str | None = None, proc: Path = Path("/proc")) -> list[Leftover]:
    """Live processes of this user's runs (root: of anybody's), or of the one run. Never this process and its ancestors.

    A process that overwrote its environment is not found; its supervisor, which carries the same marks, is.
    """
    found = []
    spared = set(_ancestors(os.getpid()))
    for pid, env in _environments(proc):
        token = env.get(CHILD_ENV)
        if token is None or pid in spared or (run_id is not None and env.get(RUN_ENV) != run_id):
            continue
        orphaned = _shares_our_pids(proc / str(pid)) and not _owner_lives(token)
        found.append(Leftover(pid, env.get(RUN_ENV), token, _command(proc / str(pid)), orphaned))
    return found


def kill_tree(token: str) -> None:
    """SIGKILL to every process whose HARNESS_CHILD is `token`, until none is left."""
    deadline = time.monotonic() + END_LIMIT_S
    while pids := [pid for pid, env in _environments(Path("/proc")) if env.get(CHILD_ENV) == token and _alive(pid)]:
        for pid in pids:
            _kill(pid)
        if time.monotonic() > deadline:
            return
        time.sleep(0.01)


def end_leftovers(processes: Iterable[Leftover], cgroups: Iterable[LeftoverCgroup] = ()) -> list[str]:
    """End these processes, then remove these cgroups; returns a sentence for each thing that stayed."""
    stayed = []
    processes, cgroups = list(processes), list(cgroups)
    for token in dict.fromkeys(process.token for process in processes):
        kill_tree(token)
    stayed += [f"process {item.pid} ({item.command}) did not end" for item in processes if _alive(item.pid)]
    for cgroup in cgroups:
        deadline = time.monotonic() + END_LIMIT_S
        while not (removed := _remove_cgroup(cgroup.path)) and time.monotonic() < deadline:
            time.sleep(0.01)
        if not removed:
            stayed.append(f"cgroup {cgroup.path} could not be removed")
    return stayed


def leftover_cgroups(run_id: str | None = None, root: Path = Path("/sys/fs/cgroup")) -> list[LeftoverCgroup]:
    """Cgroups of runs below `root`, whatever the cgroup version."""
    found = []
    for directory, names, _ in os.walk(root):
        for name in [name for name in names if name.startswith(CGROUP_PREFIX)]:
            owner = name.removeprefix(CGROUP_PREFIX)
            names.remove(name)
            if is_run_id(owner) and run_id in (None, owner):
                path = Path(directory, name)
                found.append(LeftoverCgroup(path, owner, _pids_below(path)))
    return found


def _remove_cgroup(path: Path) -> bool:
    for pid in _pids_below(path):
        _kill(pid)
    for directory, _, _ in os.walk(path, topdown=False):
        try:
            Path(directory).rmdir()
        except FileNotFoundError:
            continue
        except OSError:  # busy until the last process is reaped
            return False
    return True


def _pids_below(path: Path) -> list[int]:
    found: list[int] = []
    for directory, _, files in os.walk(path):
        if "cgroup.procs" in files:
            try:
                found += map(int, Path(directory, "cgroup.procs").read_text().split())
            except OSError:
                continue
    return [pid for pid in found if pid > 0]


def _environments(proc: Path) -> Iterator[tuple[int, dict[str, str]]]:
    own = os.getuid()
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if own not in (0, entry.stat().st_uid):
                continue
            raw = (entry / "environ").read_bytes()
        except OSError:  # it ended, or is not ours to read
            continue
        pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0"))
        yield int(entry.name), {key: value for key, _, value in pairs}


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third (state) on; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _start_time(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[19]) if fields else 0


def _alive(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] not in "ZX"


def _owner_lives(token: str) -> bool:
    pid, _, rest = token.partition("-")
    start = rest.partition("-")[0]
    return pid.isdigit() and _alive(int(pid)) and str(_start_time(int(pid))) == start


def _shares_our_pids(entry: Path) -> bool:
    """Whether pids mean the same to that process: what runs in a container is not judged from outside."""
    try:
        return (entry / "ns/pid").readlink() == Path("/proc/self/ns/pid").readlink()
    except OSError:
        return False


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 0:
        yield pid
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
