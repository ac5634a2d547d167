"""Runs the injector, and makes text of the code that it brings into a process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from harness.agent import SOURCE_NAME
from harness.collectors.attach.target import Target
from harness.core.errors import HarnessError
from harness.process import PIPE, spawn

STOP_S = 3.0
"""How long one thread of the target may be stopped before it is let go."""
_HANG_S = 5.0


async def inject(target: Target, *, port: int, code: str, seconds: float, only_at_rest: bool) -> dict[str, Any]:
    """The injector's answer. It is never killed while it may hold the target: it has a deadline of its own."""
    order = {
        "pid": target.pid,
        "library": str(target.library),
        "root": target.root,
        "port": port,
        "code": code,
        "seconds": seconds,
        "only_at_rest": only_at_rest,
    }
    command = [sys.executable, "-P", "-m", "harness.collectors.attach.injector"]
    child = await spawn(
        command, name="attach", env=dict(os.environ), stdin=PIPE, stdout=PIPE, stderr=PIPE, kill_grace_s=STOP_S + 2
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        child.stdin.write(json.dumps(order).encode())
        child.stdin.close()
        async with asyncio.timeout(seconds + _HANG_S):
            output, said = await asyncio.gather(child.stdout.read(), child.stderr.read())
        answer: dict[str, Any] = json.loads(output)
    except TimeoutError:
        return {"failed": "busy", "message": "a thread of it does not stop"}
    except ValueError:
        words = (said.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise HarnessError(f"the injector broke: {words}", place=f"process {target.pid}") from None
    finally:
        await asyncio.shield(child.stop(STOP_S + 1))
    return answer


def started(code: str) -> str:
    """`code` in a thread of its own, as text that any thread may run between two bytecodes: it binds no name, raises nothing."""
    compiled = f"compile({code!r}, {SOURCE_NAME!r}, 'exec')"  # the name by which its own allocations are known
    run = f"__import__('_thread').start_new_thread(exec, ({compiled}, {{'__name__': 'harness_attached'}}))"
    return f"try:\n {run}\nexcept BaseException:\n pass\n"
