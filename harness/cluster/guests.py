"""Runs as guests in somebody's cluster: which have left something there, and removing it from another command."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.cluster import cleanup
from harness.cluster.setup import OWNER, pid_namespace
from harness.core.errors import EnvironmentFault
from harness.core.ids import is_run_id
from harness.core.process_id import ProcessId
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.every import Found


@dataclass(frozen=True, slots=True)
class Guest:
    """What is there of one run. `owner` is the process that removes it on its way out, where the namespace still says."""

    run_id: str
    objects: int
    owner: ProcessId | None

    def why_not(self, *, named: bool) -> str | None:
        """Why it must not be removed; `named`: the user asks for this very run."""
        if self.owner is not None and self.owner.lives():
            return f"it is running (process {self.owner.pid})"
        here = ProcessId.of(os.getpid())
        if named or (self.owner is not None and here is not None and self.owner.boot_id == here.boot_id):
            return None
        return f"it may be running on another machine; name it with --run {self.run_id}"


async def find(kubeconfig: Path, context: str) -> list[Guest]:
    """The runs that have anything in the cluster; EnvironmentFault where it does not answer."""
    try:
        async with await Api.connect(kubeconfig, context) as api:
            found = await cleanup.runs(api)
    except (ApiUnreachable, ApiError) as error:
        raise EnvironmentFault(
            f"the cluster of the context {context!r} does not answer: {error.cause}",
            remedy=f"try kubectl --context {context} version",
        ) from error
    return [Guest(run_id, len(items), _owner(items)) for run_id, items in sorted(found.items()) if is_run_id(run_id)]


async def remove(kubeconfig: Path, context: str, run_ids: Sequence[str]) -> list[str]:
    """Remove what these runs made; one sentence for each thing that stayed."""
    async with await Api.connect(kubeconfig, context) as api:
        return [sentence for run_id in run_ids for sentence in await cleanup.remove(api, run_id)]


def _owner(items: Sequence[Found]) -> ProcessId | None:
    for item in items:
        told = (item.metadata.get("annotations") or {}).get(OWNER)
        if told is not None:
            try:
                facts = json.loads(told)
                # Of a process in another container of this very machine the pid says nothing here.
                if facts.pop("pid_namespace", pid_namespace()) != pid_namespace():
                    return None
                return ProcessId(**facts)
            except (ValueError, TypeError, AttributeError):
                return None
    return None
