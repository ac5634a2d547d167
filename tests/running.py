"""`harness run --json` as a child, as a user calls it; for what measures the harness itself."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.errors import RunFault
from harness.process import PIPE, last_words, spawn

CHECKOUT = Path(__file__).parents[1]


async def harness_run(arguments: Sequence[str], *, runs: Path, log: Path, timeout_s: float) -> Mapping[str, Any]:
    """What `harness run ARGUMENTS --json` prints (`harness.show/v1`); raises as `harness_json`."""
    return await harness_json(["run", *arguments], runs=runs, log=log, timeout_s=timeout_s)


async def harness_json(arguments: Sequence[str], *, runs: Path, log: Path, timeout_s: float) -> Mapping[str, Any]:
    """The JSON that a verb prints with `--json`; its progress goes to `log`, its record to `runs`.

    Raises RunFault where it is not over in time, or gives no result, with the harness's last words.
    """
    command = [sys.executable, "-m", "harness.cli.main", *arguments, "--json", "--out", str(runs)]
    child = await spawn(command, name="harness-run", env=dict(os.environ), cwd=CHECKOUT, stdout=PIPE, stderr=log)
    assert child.stdout is not None
    try:
        async with asyncio.timeout(timeout_s):
            printed = await child.stdout.read()
            ended = await child.wait()
    except TimeoutError:
        raise RunFault(f"the run was not over after {timeout_s:.0f} s", place=str(log)) from None
    finally:
        await child.stop(5.0)
    if not printed:
        raise RunFault(f"the run gave no record ({ended}): {last_words(log)}", place=str(log))
    shown: dict[str, Any] = json.loads(printed)
    return shown
