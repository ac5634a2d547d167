"""Programs a collector runs after the measurement: niced, supervised, and with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import RunFault
from harness.process import PIPE, last_words, spawn

_NICENESS = 15
_LAST_WORDS = 300


async def run_tool(command: Sequence[str], *, name: str, log: Path, timeout_s: float) -> bytes:
    """Run `command` at low priority and return its standard output; standard error goes to `log`.

    Raises RunFault where it fails or takes longer than `timeout_s`; it is killed then.
    """
    deadline = time.monotonic() + timeout_s
    child = await spawn(command, name=name, env=dict(os.environ), stdout=PIPE, stderr=log, kill_grace_s=0.0)
    assert child.stdout is not None
    try:
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, child.pid, _NICENESS)
        async with asyncio.timeout(timeout_s):
            output = await child.stdout.read()
        end = await child.wait(max(1.0, deadline - time.monotonic()))
    except TimeoutError:
        raise RunFault(f"took longer than {timeout_s:.0f} s and was stopped", place=name) from None
    finally:
        await child.stop(0.0)
    if end.code != 0:
        raise RunFault(f"ended with {end}: {last_words(log)[-_LAST_WORDS:]}", place=name)
    return output
