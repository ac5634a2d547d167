"""What may happen around a run while it goes on: its cluster breaks down, its record cannot be written, the clock is set."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from harness.core.errors import EnvironmentFault, HarnessError, RunFault
from harness.core.handles import Cluster
from harness.experiment.stage import Stage

_LOOK_SECONDS = 0.5


async def watch(stage: Stage, cluster: Cluster, fault: Callable[[], HarnessError | None] = lambda: None) -> None:
    """Until cancelled. Raises where going on makes no sense: RunFault when the cluster broke down or was restarted, for
    nothing measured after that means anything, EnvironmentFault when the disk takes no more, for nothing would be kept, and
    what `fault` tells of.
    """
    while True:
        if (reason := cluster.failure()) is not None:
            raise RunFault(f"the cluster broke down: {reason}", place=str(stage.directory / "control-plane"))
        if (error := fault()) is not None:
            raise error
        if (reason := stage.writer.failure) is not None:
            raise EnvironmentFault(reason, place=str(stage.directory), remedy="make room, or use another folder: --out")
        if (step_s := stage.clock.look()) is not None:
            how = "ahead (or the machine slept)" if step_s > 0 else "back"
            message = (
                f"the wall clock was set {how} by {abs(step_s):,.0f} s during the run: no duration was taken from it"
            )
            stage.writer.event("warning", source="clock", message=message)
        await asyncio.sleep(_LOOK_SECONDS)
