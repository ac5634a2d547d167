"""Where on this machine a memory limit can be had, and a fresh cgroup for each incarnation of the subject."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.core.errors import EnvironmentFault, UsageError
from harness.core.units import format_value
from harness.process.leftovers import CGROUP_PREFIX
from harness.process.supervisor import descendants, remove_cgroup
from harness.subject.cgroups import MemoryCgroup, MemoryCgroupV1, MemoryCgroupV2, set_limit, write
from harness.subject.cpu import CpuCgroup, set_cpu_limit

MINIMUM_BYTES = 4 * 2**20
"""Below, no program starts, and the kernel may refuse even to fork into it."""
OWN_LEAF = "harness-self"
"""Where the harness moves when its own cgroup must be empty before controllers can be enabled in it (v2)."""
REMEDIES = {
    1: "run as root, or let an administrator make a directory below the memory controller's mount that you own",
    2: "run inside `systemd-run --user --scope -p Delegate=yes`, as root, or in a container with a writable cgroup",
    0: "mount the memory controller (cgroup v2: boot without `cgroup_disable=memory`)",
}


@dataclass(frozen=True, slots=True)
class Capability:
    """What this machine can do about memory limits, for `harness doctor`."""

    ok: bool
    version: Literal[1, 2] | None
    parent: Path | None
    """The cgroup below which limits can be set."""
    sentence: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """The mounted hierarchy that has a controller."""

    version: Literal[1, 2]
    mount: Path
    own: Path
    """The cgroup of this process, as a directory."""

    @property
    def candidates(self) -> list[Path]:
        """Possible parents, the nearest first: this process's cgroup, then each one above it."""
        return [path for path in (self.own, *self.own.parents) if path.is_relative_to(self.mount)]


class Kernel:
    """What limits need of the kernel beyond reading and writing files; tests put a directory tree in its place."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self.proc = proc

    def mkdir(self, path: Path) -> None:
        """Make a cgroup."""
        path.mkdir()

    def rmdir(self, path: Path) -> None:
        """Remove an empty cgroup, waiting while the kernel still calls it busy."""
        remove_cgroup(str(path))

    def delegated(self, path: Path) -> bool:
        """Whether systemd says that what is below this cgroup is its processes' own affair."""
        for name in ("user.delegate", "trusted.delegate"):
            try:
                return os.getxattr(path, name) == b"1"
            except OSError:
                continue
        return False

    def can_join(self, path: Path) -> None:
        """Try to start a process in the cgroup; raises OSError. Rights depend on where the process comes from (v2)."""
        with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as trial:
            try:
                write(path / "cgroup.procs", str(trial.pid))
            finally:
                trial.kill()

    def family(self) -> set[int]:
        """This process, its ancestors and its descendants."""
        found, pid = {os.getpid(), *descendants(os.getpid())}, os.getpid()
        while pid := int((self.proc / str(pid) / "stat").read_text().rpartition(")")[2].split()[1]):
            found.add(pid)
        return found


def find_hierarchy(kernel: Kernel, controller: str = "memory", who: str = "self") -> Hierarchy | None:
    """The hierarchy of the memory controller, or of another: v2 where it is there, else v1; None when it is not mounted.

    `who`: the process whose own cgroup it names.
    """
    own = {}
    for line in (kernel.proc / who / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    for line in (kernel.proc / "self/mountinfo").read_text().splitlines():
        fields, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        root, mount = fields.split()[3], Path(fields.split()[4])
        if kind == "cgroup2" and "" in own and controller in _words(mount / "cgroup.controllers"):
            return Hierarchy(2, mount, _below(mount, root, own[""]))
        if kind == "cgroup" and controller in own and controller in options.split(","):
            return Hierarchy(1, mount, _below(mount, root, own[controller]))
    return None


def probe(kernel: Kernel | None = None) -> Capability:
    """Whether a memory limit can be had here, found out by setting one and removing it again."""
    kernel = kernel or Kernel()
    hierarchy = find_hierarchy(kernel)
    if hierarchy is None:
        return Capability(False, None, None, "no memory controller is mounted (neither cgroup v1 nor v2)", REMEDIES[0])
    attempts = [(parent, False) for parent in hierarchy.candidates]
    if hierarchy.version == 2:
        # Making room moves processes: at once where that is what the cgroup is for, elsewhere only if all else fails.
        attempts.insert(0 if kernel.delegated(hierarchy.own) else len(attempts), (hierarchy.own, True))
    reasons = {}
    for parent, make_room in attempts:
        reason = _try(kernel, hierarchy, parent, make_room=make_room)
        if reason is None:
            sentence = f"memory limits by cgroup v{hierarchy.version} below {parent}"
            return Capability(True, hierarchy.version, parent, sentence)
        reasons[parent] = f"{parent}: {reason}"
    listed = ", ".join(reasons.values())
    sentence = f"no cgroup v{hierarchy.version} below which a memory limit can be set ({listed})"
    return Capability(False, hierarchy.version, None, sentence, REMEDIES[hierarchy.version])


def create(
    run_id: str, incarnation: int | str, limit_bytes: int, *, oom_group: bool = False, kernel: Kernel | None = None
) -> MemoryCgroup:
    """A fresh cgroup `harness-RUN_ID/subject-INCARNATION` with a memory limit and without swap.

    The one who starts the subject has it removed: see `paths_to_remove`. Raises EnvironmentFault with a remedy.
    """
    kernel = kernel or Kernel()
    if limit_bytes < MINIMUM_BYTES:
        least = format_value(MINIMUM_BYTES, "bytes")
        raise UsageError(
            f"memory limit {format_value(limit_bytes, 'bytes')} is too small; nothing starts below {least}"
        )
    found = probe(kernel)
    if found.version is None or found.parent is None:
        raise EnvironmentFault(f"cannot limit memory: {found.sentence}", remedy=found.remedy)
    top = found.parent / f"{CGROUP_PREFIX}{run_id}"
    path = top / f"subject-{incarnation}"
    made: list[Path] = []
    try:
        _make(kernel, top, path, found.version, made)
        set_limit(path, found.version, limit_bytes, oom_group=oom_group)
        return MemoryCgroupV1(path) if found.version == 1 else MemoryCgroupV2(path)
    except OSError as error:
        for directory in reversed(made):
            _discard(kernel, directory)
        raise EnvironmentFault(
            f"cannot limit memory to {format_value(limit_bytes, 'bytes')}: {error.strerror}",
            place=str(error.filename or path),
            remedy=REMEDIES[found.version],
        ) from error


def limit_cpu(
    run_id: str, incarnation: int | str, cpus: float, memory: MemoryCgroup | None, *, kernel: Kernel | None = None
) -> CpuCgroup:
    """A CPU limit for an incarnation: on its memory cgroup where that can have one (v2), else in a fresh cgroup beside it.

    Raises EnvironmentFault with a remedy. Have `CpuCgroup.path` and its parent removed like those of the memory cgroup.
    """
    kernel = kernel or Kernel()
    hierarchy = find_hierarchy(kernel, "cpu")
    if hierarchy is None:
        raise EnvironmentFault(
            "cannot limit CPU: the cpu controller is not mounted", remedy="leave subject.cpu_limit out"
        )
    version = hierarchy.version
    if memory is not None and memory.version == version == 2:
        parents = [memory.path.parent.parent]
    else:
        parents = [path for path in hierarchy.candidates if os.access(path, os.W_OK | os.X_OK)]
    reason = f"no cgroup below {hierarchy.mount} may be written"
    for parent in parents:
        top = parent / f"{CGROUP_PREFIX}{run_id}"
        path, made = top / f"subject-{incarnation}", list[Path]()
        try:
            if version == 2:
                _enable(kernel, parent, make_room=False, controller="cpu")
            if memory is not None and memory.path == path:
                write(top / "cgroup.subtree_control", "+cpu")
            else:
                _make(kernel, top, path, version, made, controller="cpu")
            set_cpu_limit(path, version, cpus)
            return CpuCgroup(path, version, cpus)
        except OSError as error:
            for directory in reversed(made):
                _discard(kernel, directory)
            reason = f"{error.filename or path}: {error.strerror or error}"
    raise EnvironmentFault(f"cannot limit CPU: {reason}", remedy=REMEDIES[version].replace("memory", "cpu"))


def check_cpu(cpus: float) -> None:
    """Raises EnvironmentFault where this machine cannot limit CPU, found out by doing it and taking it back."""
    found = limit_cpu(f"probe-{os.getpid()}", 0, cpus, None)
    for directory in (found.path, found.path.parent):
        _discard(Kernel(), directory)


def _make(kernel: Kernel, top: Path, path: Path, version: int, made: list[Path], *, controller: str = "memory") -> None:
    """Make the run's cgroup, unless it is there, and the incarnation's below it; `made` tells which of them."""
    for last in (False, False, True):
        try:
            if not top.exists():
                kernel.mkdir(top)
                made.append(top)
            if version == 2:
                write(top / "cgroup.subtree_control", f"+{controller}")
            kernel.mkdir(path)
            made.append(path)
        except FileNotFoundError:  # removed together with the incarnation before, just now
            if last:
                raise
        else:
            return


def paths_to_remove(cgroup: MemoryCgroup | CpuCgroup) -> list[Path]:
    """For `process.spawn(remove=…)`: the cgroup, then its run's, which stays while another incarnation is in it."""
    return [cgroup.path, cgroup.path.parent]


def discard(cgroup: MemoryCgroup | CpuCgroup) -> None:
    """Remove a cgroup in which nothing was started."""
    for directory in paths_to_remove(cgroup):
        _discard(Kernel(), directory)


def _try(kernel: Kernel, hierarchy: Hierarchy, parent: Path, *, make_room: bool) -> str | None:
    """Why no limit can be set below `parent`; None when it can."""
    if not os.access(parent, os.W_OK | os.X_OK):
        return "not writable"
    trial = parent / f"{CGROUP_PREFIX}probe-{os.getpid()}"
    try:
        if hierarchy.version == 2:
            _enable(kernel, parent, make_room=make_room)
        kernel.mkdir(trial)
        set_limit(trial, hierarchy.version, 2**30)
        kernel.can_join(trial)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        _discard(kernel, trial)
    return None


def _enable(kernel: Kernel, parent: Path, *, make_room: bool, controller: str = "memory") -> None:
    """Let `parent` pass a controller on to its children (v2)."""
    if controller not in _words(parent / "cgroup.controllers"):
        raise OSError(0, f"the {controller} controller is not delegated to it")
    if controller in _words(parent / "cgroup.subtree_control"):
        return
    try:
        write(parent / "cgroup.subtree_control", f"+{controller}")
    except OSError:
        # A cgroup with processes cannot pass controllers on. Where all of them are ours (a scope made for the harness, a
        # container), they move into a leaf, as container tools do.
        pids = {int(pid) for pid in _words(parent / "cgroup.procs")}
        if not make_room or not pids or not pids <= kernel.family():
            raise
        leaf = parent / OWN_LEAF
        if not leaf.exists():
            kernel.mkdir(leaf)
        for pid in pids:
            write(leaf / "cgroup.procs", str(pid))
        write(parent / "cgroup.subtree_control", f"+{controller}")


def _below(mount: Path, root: str, path: str) -> Path:
    """The directory of cgroup `path` where cgroup `root` is what is mounted (in a container, not the machine's root)."""
    prefix = root.rstrip("/")
    inside = path[len(prefix) :] if path == prefix or path.startswith(f"{prefix}/") else ""
    directory = mount / inside.lstrip("/")
    return directory if directory.is_dir() else mount


def _words(path: Path) -> list[str]:
    try:
        return path.read_text().split()
    except OSError:
        return []


def _discard(kernel: Kernel, path: Path) -> None:
    try:
        kernel.rmdir(path)
    except OSError:
        return
