"""Kind clusters that stay between commands: `harness cluster up --cluster kind`. Containers keep them, no process of ours."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from harness.cluster import kind_owned, kind_start, kind_tools, state
from harness.cluster.choice import KIND, ClusterChoice
from harness.cluster.kind_owned import PREFIX
from harness.cluster.state import ClusterState
from harness.core.errors import HarnessError, UsageError
from harness.core.handles import Progress


def kind_name(name: str) -> str:
    """What kind calls the cluster that is called `name` here."""
    return f"{PREFIX}{name}"


def up(name: str, choice: ClusterChoice, progress: Progress) -> ClusterState:
    """Make one and return when pods run in it. Raises UsageError if the name is taken, and what `kind.start` raises."""
    logs = state.logs_of(state.check_name(name))
    if state.load(name) is not None:
        raise UsageError(
            f"the cluster {name!r} is already up, or coming up",
            remedy=f"use it, end it with `harness cluster down {name}`, or choose another --name",
        )
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    isolated, version = asyncio.run(kind_start.keep(choice, kind_name(name), work_dir=logs, progress=progress))
    found = ClusterState(
        name=name,
        provider=KIND,
        server=isolated.server,
        version=version,
        kubeconfig=str(isolated.kubeconfig),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        logs=str(logs / "control-plane"),
        holder=None,
    )
    state.save(found)
    return found


def down(found: ClusterState) -> bool:
    """Delete it and forget it; False where it was gone already."""
    owned = kind_owned.load(kind_name(found.name))
    lived = owned is not None and kind_owned.delete(owned)
    state.remove(found.name)
    return lived


def lives(found: ClusterState) -> bool:
    """Whether its nodes are there and run."""
    try:
        tools = kind_tools.find()
        nodes = kind_tools.nodes(tools.docker, kind_name(found.name))
        return bool(nodes) and all(kind_tools.init_pid(tools.docker, node) for node in nodes)
    except HarnessError:
        return False
