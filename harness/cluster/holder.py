"""The process that keeps a detached cluster: `python -m harness.cluster.holder NAME [PORT]`.

It holds the lifelines of the servers' supervisors. However it ends, the cluster ends with it. Until the cluster is ready
it tells `harness cluster up`, on standard output, how things stand, one JSON object a line: `{"step"}`, `{"detail"}`,
then `{"ready": true}` or `{"error": {"code", "cause", "place", "remedy"}}`. If nobody listens any more, it gives up.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import traceback
from datetime import UTC, datetime

from harness.cluster import embedded, state
from harness.cluster.embedded import EmbeddedCluster, EmbeddedOptions
from harness.core.errors import ExitCode, HarnessError, RunFault, UsageError
from harness.core.process_id import ProcessId

_WATCH_S = 1.0


class _Teller:
    """Progress, told to the command that waits."""

    def step(self, text: str) -> None:
        self.tell(step=text)

    def detail(self, text: str) -> None:
        self.tell(detail=text)

    def tell(self, **message: object) -> None:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


async def _hold(name: str, port: int | None, teller: _Teller) -> None:
    """Start the cluster, publish its state, keep it until a signal comes or a server dies."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    ended = asyncio.create_task(ending.wait())
    logs = state.logs_of(name)
    starting = asyncio.create_task(
        embedded.start(
            name=name, work_dir=logs, run_id=f"cluster-{name}", progress=teller, options=EmbeddedOptions(port=port)
        )
    )
    await asyncio.wait({starting, ended}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait({starting})
        raise RunFault("ended while it was starting", place=name)
    async with await starting as cluster:
        try:
            _publish(cluster)
            teller.tell(ready=True)
            _detach()
            while cluster.failure() is None and not ended.done():
                await asyncio.wait({ended}, timeout=_WATCH_S)
            if (failure := cluster.failure()) is not None:
                sys.stderr.write(f"{failure}; see the logs in {logs}\n")
        finally:
            ended.cancel()
            state.remove(name)


def _publish(cluster: EmbeddedCluster) -> None:
    holder = ProcessId.of(os.getpid())
    assert holder is not None
    state.save(
        state.ClusterState(
            name=cluster.name,
            provider=cluster.provider,
            server=cluster.server,
            version=cluster.version,
            kubeconfig=str(cluster.kubeconfig),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            logs=str(state.logs_of(cluster.name) / "control-plane"),
            holder=holder,
        )
    )


def _detach() -> None:
    """Let the waiting command's pipe go."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _lock(name: str) -> None:
    """Be the only holder of this name, as long as this process lives."""
    try:
        fcntl.flock(state.lock_file(name), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"the cluster {name!r} is already up, or coming up",
            remedy=f"use it, end it with `harness cluster down {name}`, or choose another --name",
        ) from None


def main(arguments: list[str]) -> int:
    """Hold a cluster; returns the exit code."""
    name, port = arguments[0], int(arguments[1]) if len(arguments) > 1 else None
    teller = _Teller()
    try:
        _lock(name)
        asyncio.run(_hold(name, port, teller))
    except BrokenPipeError:
        return ExitCode.INTERRUPTED  # the command that waited is gone, and wants no cluster any more
    except HarnessError as error:
        teller.tell(error={"code": error.exit_code, "cause": error.cause, "place": error.place, "remedy": error.remedy})
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - the last place: whoever waits must hear of it
        traceback.print_exc()
        teller.tell(error={"code": ExitCode.BUG, "cause": repr(error), "place": "cluster holder", "remedy": None})
        return ExitCode.BUG
    return ExitCode.PASSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
