"""`python -m tests.disturb [--share 0.2] [--period 1.5] [--cold 20] -- COMMAND…`: a command whose machine is taken away.

Each CPU is kept busy by a real-time process for a share of every period, as a host that withholds it does, and every so many
seconds the page cache is dropped. What fails then and not on a calm machine waits for a time instead of for what it needs,
or takes one figure for another: docs/development.md. Needs root; ends with the command, with its exit code.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

_DROP = Path("/proc/sys/vm/drop_caches")
_FILES = "1\n"


def _take(cpu: int, share: float, period: float) -> None:
    """Until the parent ends: the CPU is nobody else's for `share` of each `period` (seconds)."""
    parent = os.getppid()
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    while os.getppid() == parent:
        until = time.monotonic() + period * share
        while time.monotonic() < until:
            pass
        time.sleep(period * (1 - share))


def main(
    command: Annotated[list[str], typer.Argument(help="What to run.", show_default=False)],
    share: Annotated[float, typer.Option(min=0.0, max=0.9, help="Of each CPU's time that is taken away.")] = 0.2,
    period: Annotated[float, typer.Option(min=0.01, help="Seconds in which that is done once.")] = 1.5,
    cold: Annotated[
        float, typer.Option(min=1.0, help="Seconds between two times that the page cache is dropped.")
    ] = 20.0,
) -> None:
    """Run a command beside work that takes the CPU and empties the page cache."""
    if os.geteuid() != 0:
        raise typer.BadParameter("needs root: for a real-time priority and to drop the page cache")
    for cpu in sorted(os.sched_getaffinity(0)):
        multiprocessing.Process(target=_take, args=(cpu, share, period), daemon=True).start()
    child = subprocess.Popen(command)
    while True:
        try:
            sys.exit(child.wait(cold))
        except subprocess.TimeoutExpired:
            _DROP.write_text(_FILES)
        except KeyboardInterrupt:
            sys.exit(child.wait())


if __name__ == "__main__":
    typer.run(main)
