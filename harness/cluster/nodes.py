"""The node containers of a kind cluster as processes of this machine: who runs in them, and whether they still do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

from harness.cluster import kind_tools
from harness.core.process_id import ProcessId

APISERVER = "kube-apiserver"


@dataclass(frozen=True, slots=True)
class Nodes:
    """Containers by name, the first process of each, and the processes in them by program when the cluster was ready.

    Where Docker runs on another machine (or in a virtual one) there are no processes to see.
    """

    names: Sequence[str]
    first: Mapping[str, ProcessId]
    pids: Mapping[str, int]
    apiserver: ProcessId | None

    @classmethod
    def look(cls, docker: str, cluster: str) -> Nodes:
        """Ask Docker for the nodes and /proc for what runs in them. Raises EnvironmentFault where Docker does not answer."""
        names = kind_tools.nodes(docker, cluster)
        first: dict[str, ProcessId] = {}
        pids: dict[str, int] = {}
        for node in names:
            pid = kind_tools.init_pid(docker, node)
            identity = ProcessId.of(pid) if pid else None
            if identity is None or not _is_of(pid, docker, node):
                continue
            first[node] = identity
            for program, child in _programs(pid):
                pids[_free(pids, program, node)] = child
        server = pids.get(APISERVER)
        return cls(tuple(names), first, pids, None if server is None else ProcessId.of(server))

    def failure(self) -> str | None:
        """One sentence if a node, or the API server in it, is not what it was; None while all live."""
        for node, process in self.first.items():
            if not process.lives():
                return f"the node container {node} ended or was restarted"
        if self.apiserver is not None and not self.apiserver.lives():
            return f"{APISERVER} on {self.names[0]} ended or was restarted"
        return None


def _is_of(pid: int, docker: str, node: str) -> bool:
    """Whether Docker's pid is that container's here too: its control group names the container."""
    container = kind_tools.output([docker, "inspect", "--format", "{{.Id}}", node])
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:  # noqa: PTH123 # one line is enough
            return container[:12] in file.read()
    except OSError:
        return False


def _programs(pid: int) -> Sequence[tuple[str, int]]:
    found = []
    try:
        for process in psutil.Process(pid).children(recursive=True):
            try:
                found.append((process.name(), process.pid))
            except psutil.Error:
                continue
    except psutil.Error:
        return []
    return found


def _free(taken: Mapping[str, int], program: str, node: str) -> str:
    """`program`, or it with node and number where that is taken."""
    if program not in taken:
        return program
    numbers = (f"{program}@{node}" + (f"#{n}" if n else "") for n in range(len(taken) + 1))
    return next(name for name in numbers if name not in taken)
