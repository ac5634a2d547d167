"""A command of the user's on the timeline: a step of the load that the harness knows nothing of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import process
from harness.core.errors import HarnessError
from harness.subject.redact import redact_text

_GRACE_SECONDS = 2.0
_SAID_BYTES = 4096
_SAID_LINES = 3


async def run_hook(command: Sequence[str], *, env: Mapping[str, str], log: Path, timeout_s: float) -> str | None:
    """Run it to its end under a supervisor; why it failed, with its last words, or None. What it writes goes to `log`."""
    try:
        child = await process.spawn(command, name="hook", env=env, stdout=log, stderr=process.STDOUT)
    except HarnessError as error:
        return str(error)
    try:
        exit_ = await child.wait(timeout_s)
    except TimeoutError:
        return f"{command[0]} did not end within {timeout_s:g} s; {_last_words(log)}"
    finally:
        await child.stop(_GRACE_SECONDS)
    if exit_.code == 0:
        return None
    how = f"was {exit_}" if exit_.signal else f"failed with {exit_}"
    return f"{command[0]} {how}; {_last_words(log)}"


def _last_words(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _SAID_BYTES))
            lines = [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return f"its last words: {redact_text(' | '.join(lines[-_SAID_LINES:]))}" if lines else "it said nothing"
