"""What is done when the harness is killed: `python -m harness.cluster.last_will NAME` deletes that kind cluster of ours.

Containers are no children of ours, so no supervisor ends them. A shell that reads from a pipe waits instead: while the
harness lives the pipe is silent, a line on it means that all is done, and its end that the harness died.
"""

from __future__ import annotations

import os
import subprocess
import sys

from harness.cluster import kind_owned
from harness.core.errors import HarnessError
from harness.core.ids import RUN_ENV
from harness.process.leftovers import CHILD_ENV

_WAIT = 'read -r done || exec "$@"'
_END_LIMIT_S = 10.0


class LastWill:
    """Deletes a kind cluster as soon as this process is gone, unless it is `revoke`d."""

    def __init__(self, name: str) -> None:
        command = ["/bin/sh", "-c", _WAIT, "harness-last-will", sys.executable, "-P", "-m", __name__, name]
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


def main(arguments: list[str]) -> int:
    """Delete the cluster; returns the exit code."""
    owned = kind_owned.load(arguments[0])
    if owned is None:
        return 0
    try:
        kind_owned.delete(owned)
    except HarnessError as error:
        return error.exit_code  # nobody listens any more; `harness clean` finds it and says why
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
