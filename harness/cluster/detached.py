"""Clusters that outlive the command that starts them: up, down, and which there are."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from harness.cluster import kind_kept, state
from harness.cluster.state import ClusterState
from harness.core.errors import EnvironmentFault, ExitCode, HarnessError, RunFault, UsageError
from harness.core.handles import Progress
from harness.core.ids import RUN_ENV

_END_LIMIT_S = 30.0
_ERRORS: dict[int, type[HarnessError]] = {ExitCode.USAGE: UsageError, ExitCode.ENVIRONMENT: EnvironmentFault}


def up(name: str, port: int | None, progress: Progress) -> ClusterState:
    """Start a cluster with a holder of its own and return when it can be used.

    Raises UsageError if the name is taken, and what `embedded.start` raises.
    """
    logs = state.logs_of(state.check_name(name))
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = logs / "holder.log"
    command = [sys.executable, "-P", "-m", "harness.cluster.holder", name, *([str(port)] if port is not None else [])]
    env = {key: value for key, value in os.environ.items() if key != RUN_ENV}
    with log.open("ab") as errors:
        holder = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=env,
            start_new_session=True,
        )
    try:
        _follow(holder, log, progress)
    except BaseException:
        holder.terminate()
        try:
            holder.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            holder.kill()
            holder.wait()
        raise
    found = state.load(name)
    if found is None:
        raise RunFault("it ended as soon as it was up", place=name, remedy=f"see {logs}")
    return found


def down(found: ClusterState) -> bool:
    """End a cluster and forget it; False if it was gone already. Only the very holder is signalled."""
    if found.holder is None:
        return kind_kept.down(found)
    if not found.holder.lives():
        state.remove(found.name)
        return False
    try:
        handle = os.pidfd_open(found.holder.pid)
    except ProcessLookupError:
        state.remove(found.name)
        return True
    try:
        # From here on the handle means one process for good; the pid could still have changed hands just before.
        if found.holder.lives():
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(handle, number)
                if select.select([handle], [], [], _END_LIMIT_S)[0]:
                    break
            else:
                raise RunFault(f"its holder, process {found.holder.pid}, withstands SIGKILL", place=found.name)
    finally:
        os.close(handle)
    state.remove(found.name)
    return True


def lives(found: ClusterState) -> bool:
    """Whether a cluster can still be used."""
    return kind_kept.lives(found) if found.holder is None else found.holder.lives()


def require(name: str) -> ClusterState:
    """The state of a cluster that is up; UsageError with what to do if it is not."""
    found = state.load(name)
    if found is None or not lives(found):
        others = ", ".join(other.name for other in state.load_all() if lives(other))
        raise UsageError(
            f"no cluster {name!r} is up" + (f" (up: {others})" if others else ""),
            remedy=f"start it with `harness cluster up --name {name}`",
        )
    return found


def _follow(holder: subprocess.Popen[bytes], log: Path, progress: Progress) -> None:
    """Show what the holder tells until the cluster is ready. It has deadlines for all it does, and its end is seen."""
    assert holder.stdout is not None
    with holder.stdout as lines:
        for line in lines:
            message = json.loads(line)
            if "step" in message:
                progress.step(message["step"])
            elif "detail" in message:
                progress.detail(message["detail"])
            elif "error" in message:
                told = message["error"]
                raise _ERRORS.get(told["code"], RunFault)(told["cause"], place=told["place"], remedy=told["remedy"])
            elif "ready" in message:
                return
    raise RunFault("the cluster's holder ended before the cluster was ready", place=str(log))
