"""Benchmark `attach`: memray attached to and detached from running processes, over and over; each must survive and answer."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path

from harness.collectors.attach.session import Attachment
from harness.collectors.attach.target import examine
from harness.core.errors import HarnessError
from harness.core.handles import Progress
from tests.attach_targets import KINDS, Running, running
from tests.bench.rounds import Rounds
from tests.bench.sheet import Sheet

LIMIT_S = 10.0
"""The goal for one cycle. One that takes longer is told as a problem."""
SLOWEST = "a cycle, all kinds"


class AttachBenchmark:
    """One cycle per kind of target and round, on the same processes all the time; who is not on waits (SIGSTOP)."""

    name = "attach"
    title = "attaching memray to running processes"
    method = (
        f"{len(KINDS)} processes ({', '.join(KINDS)}); each round, each of them: checks, attach, detach, then a signal that its "
        f"main thread must answer. A cycle is from the first check to detached; it has {LIMIT_S:g} s"
    )
    rounds = 10
    share = 0.06
    headline = SLOWEST

    async def run(self, rounds: Rounds, directory: Path, progress: Progress, sheet: Sheet) -> None:
        """See `Benchmark`."""
        with ExitStack() as stack:
            targets = {kind: stack.enter_context(running(kind)) for kind in KINDS}
            for target in targets.values():
                target.pause()
            for number in rounds:
                progress.step(f"attach: round {number} of {rounds.wanted}")
                for kind, target in targets.items():
                    target.go_on()
                    try:
                        await _cycle(kind, target, directory, progress, sheet)
                    except HarnessError as error:
                        sheet.problem(f"round {number}, {kind}: {error}")
                    if not await asyncio.to_thread(target.answers):
                        sheet.problem(f"round {number}, {kind}: it does not answer afterwards")
                    target.pause()


async def _cycle(kind: str, target: Running, directory: Path, progress: Progress, sheet: Sheet) -> None:
    began = time.monotonic()
    examined = await examine(target.pid, directory, progress)
    attachment = await Attachment.attach(examined, (directory / f"{kind}.bin").absolute())
    await attachment.detach()
    seconds = time.monotonic() - began
    if seconds > LIMIT_S:
        sheet.problem(f"{kind}: a cycle took {seconds:.1f} s")
        return
    sheet.add(kind, "seconds", seconds)
    sheet.add(f"{kind}: thread stopped", "seconds", attachment.stopped_s)
    sheet.add(SLOWEST, "seconds", seconds)
