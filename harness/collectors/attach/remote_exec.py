"""From Python 3.14 on an interpreter can be asked to run a script (PEP 768, `sys.remote_exec`), and does so by itself.

Its main thread reads the script between two bytecodes: nothing is stopped, and no register is touched. Whoever asks must be of
the same minor version, so the target's own program is what asks. A target that waits in a system call gets to it only when it
goes on; for such a one there are the other ways in, and what was asked is taken back: `/dev/null` is a script that does nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from harness.collectors.attach.target import Target, environment

SINCE = (3, 14)
HOW = "asked by sys.remote_exec"
PATIENCE_S = 0.5
"""How long a target may take to run the script before another way is tried."""
_NOTHING = "/dev/null"
_ASK = "import sys; sys.remote_exec(int(sys.argv[1]), sys.argv[2])"
_CALL_S = 10.0


def possible(target: Target) -> bool:
    """Whether its Python knows of it. In a container its pids and paths are not ours."""
    return target.python.version >= SINCE and not target.root


async def ask(target: Target, script: Path, code: str) -> str:
    """Write `code` to `script`, and ask the target to run it. Empty where it was asked, else why not."""
    try:
        _write(script, code)
    except OSError as error:
        return f"{script}: {error.strerror}"
    return await _call(target, str(script))


async def take_back(target: Target, script: Path, *, ran: bool) -> None:
    """Leave nothing: no script, and none that a target would look for when it goes on."""
    if not ran:
        await _call(target, _NOTHING)
    _remove(script)


def _write(script: Path, code: str) -> None:
    script.write_text(code)
    script.chmod(0o644)  # the target may be another user's; there is nothing secret in it


def _remove(script: Path) -> None:
    with contextlib.suppress(OSError):
        script.unlink()


async def _call(target: Target, script: str) -> str:
    try:
        asking = await asyncio.create_subprocess_exec(
            str(target.python.executable), "-I", "-c", _ASK, str(target.pid), script,
            env=environment(target.pid), cwd="/", stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return f"{target.python.executable}: {error.strerror}"
    try:
        async with asyncio.timeout(_CALL_S):
            _, said = await asking.communicate()
    except TimeoutError:
        return "sys.remote_exec did not return"
    finally:
        if asking.returncode is None:
            asking.kill()
            await asking.wait()
    words = said.decode(errors="replace").strip().splitlines() or [f"exit code {asking.returncode}"]
    return "" if asking.returncode == 0 else words[-1]
