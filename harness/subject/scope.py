"""The third way to a memory limit: a scope of systemd's user manager, in which the harness starts once more.

On a cgroup v2 machine an ordinary user may not write to the cgroup of a login session, but may have systemd make a scope
that is delegated: all below it is the user's own affair. There limits are set as everywhere else (`subject.limits`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from harness.subject import limits

MARK = "HARNESS_SCOPE"
"""Set inside the scope: if no limit can be had even there, it ends with that error and not in a loop."""
COMMAND = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "--property=Delegate=yes", "--")
_TRY_SECONDS = 10.0


def why_not() -> str | None:
    """Why no scope can be had, in systemd's words; None where it can, found out by having one made."""
    if MARK in os.environ:
        return "this already is one"
    if shutil.which(COMMAND[0]) is None:
        return "there is no systemd-run"
    try:
        done = subprocess.run(
            [*COMMAND, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TRY_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"it did not answer within {_TRY_SECONDS:g} s"
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else said[-1] if said else f"exit code {done.returncode}"


def enter_if_needed() -> None:
    """Where no memory limit can be had here but in a scope, replace this process by itself in one; else return.

    To be called while nothing has been started: the process keeps its pid, terminal and command line, and begins anew.
    """
    if limits.probe().ok or why_not() is not None:
        return
    os.environ[MARK] = "1"
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvp(COMMAND[0], [*COMMAND, sys.executable, *sys.orig_argv[1:]])  # noqa: S606 # no shell: that is the point
