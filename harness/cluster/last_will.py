"""What is done when the harness is killed: a kind cluster of ours goes, or what a run made in a cluster that is not ours.

These are no children of ours, so no supervisor ends them. A shell that reads from a pipe waits instead: while the harness
lives the pipe is silent, a line on it means that all is done, and its end that the harness died. Then it becomes
`python -m harness.cluster.last_will kind NAME` or `… guest DIRECTORY RUN_ID`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from harness.cluster import cleanup, kind_owned
from harness.cluster.isolation import KUBECONFIG
from harness.core.errors import ExitCode, HarnessError
from harness.core.ids import RUN_ENV
from harness.process.leftovers import CHILD_ENV

_WAIT = 'read -r done || exec "$@"'
_END_LIMIT_S = 10.0
_SETTLE_S = 5.0
"""Longer than the supervisor of `kind create` takes to end it."""


class LastWill:
    """Carried out as soon as this process is gone, unless it is `revoke`d."""

    def __init__(self, *arguments: str) -> None:
        command = ["/bin/sh", "-c", _WAIT, "harness-last-will", sys.executable, "-P", "-m", __name__, *arguments]
        # Not marked as a child of the run: `harness clean` must not end what cleans up.
        env = {key: value for key, value in os.environ.items() if key not in (RUN_ENV, CHILD_ENV)}
        self._waiting = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env,
            start_new_session=True,
        )  # fmt: skip

    def revoke(self) -> None:
        """All is done already; again is harmless."""
        if self._waiting.stdin is None or self._waiting.stdin.closed:
            return
        try:
            self._waiting.stdin.write(b"done\n")
            self._waiting.stdin.close()
            self._waiting.wait(_END_LIMIT_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self._waiting.kill()
            self._waiting.wait()

    @classmethod
    def of_kind(cls, name: str) -> LastWill:
        """Delete a kind cluster of ours."""
        return cls("kind", name)

    @classmethod
    def of_guest(cls, directory: Path, run_id: str) -> LastWill:
        """Remove what a run made, by the isolated kubeconfig in `directory`, and that directory."""
        return cls("guest", str(directory), run_id)


def main(arguments: list[str]) -> int:
    """Carry it out; returns the exit code. Nobody listens any more: what fails, `harness clean` finds, and says why."""
    if arguments[0] == "guest":
        directory = Path(arguments[1])
        left = asyncio.run(cleanup.after_run(directory / KUBECONFIG, arguments[2]))
        shutil.rmtree(directory, ignore_errors=True)
        return ExitCode.ENVIRONMENT if left else ExitCode.PASSED
    owned = kind_owned.load(arguments[1])
    if owned is None:
        return ExitCode.PASSED
    try:
        kind_owned.delete(owned, settle_s=_SETTLE_S)
    except HarnessError as error:
        return error.exit_code
    return ExitCode.PASSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
