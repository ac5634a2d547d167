"""Running a build tool: its output line by line to whoever shows progress, its last lines into the error."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.process import PIPE, STDOUT, Child, spawn

_LAST_LINES = 5


async def run(
    command: Sequence[str],
    *,
    name: str,
    env: Mapping[str, str],
    cwd: Path,
    timeout_s: float,
    remedy: str,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """Run to the end and return the lines it wrote, standard error among them.

    The tool ends with the harness, whatever ends that. Raises EnvironmentFault with its last lines if it fails or
    takes longer than `timeout_s`.
    """
    child = await spawn(command, name=name, env=env, cwd=cwd, stdout=PIPE, stderr=STDOUT)
    lines: list[str] = []
    try:
        async with asyncio.timeout(timeout_s):
            await _read(child, lines, on_line)
            ending = await child.wait()
    except TimeoutError:
        raise _fault(name, f"did not finish within {timeout_s:g} s", lines, remedy) from None
    finally:
        await child.stop(2)
    if ending.code != 0:
        raise _fault(name, f"failed ({ending})", lines, remedy)
    return lines


async def _read(child: Child, lines: list[str], on_line: Callable[[str], None] | None) -> None:
    assert child.stdout is not None
    while raw := await child.stdout.readline():
        line = raw.decode("utf-8", "replace").rstrip()
        lines.append(line)
        if on_line is not None:
            on_line(line)


def _fault(name: str, what: str, lines: Sequence[str], remedy: str) -> EnvironmentFault:
    last = " | ".join(deque((line.strip() for line in lines if line.strip()), maxlen=_LAST_LINES))
    return EnvironmentFault(f"{name} {what}: {last or 'it wrote nothing'}", remedy=remedy)
