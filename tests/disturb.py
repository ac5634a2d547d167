"""`python -m tests.disturb [--share 0.2] [--period 1.5] [--cold 20] [--stop 0.7] -- COMMAND…`: a command that is disturbed.

Each CPU is kept busy by a real-time process for a share of every period, as a host that withholds it does, and every so many
seconds the page cache is dropped. With `--stop` single processes of the command stand still for up to so many seconds while
the others go on, as where more of them want to run than there are CPUs: that changes who is first. What fails then and not on
a calm machine waits for a time instead of for what it needs, or takes one figure for another: docs/development.md. Needs root;
ends with the command, with its exit code.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer

_DROP = Path("/proc/sys/vm/drop_caches")
_FILES = "1\n"
_STOPPED_AT_ONCE = 3
"""Processes that stand still at a time: of the some twenty that a test has, so that most go on."""


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


def _stop_now_and_then(pid: int, longest: float) -> None:
    """Until `pid` has ended: a process below it, whichever, stands still for up to `longest` seconds, then another.

    One that stands still already is left alone: a test may have stopped it, and waits to see what follows. Whoever runs this
    waits for its end, so that nothing of the command is left standing still.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        above = psutil.Process(pid)
        while above.status() != psutil.STATUS_ZOMBIE:
            time.sleep(random.uniform(0, longest))
            with contextlib.suppress(psutil.NoSuchProcess, IndexError):
                one = random.choice(above.children(recursive=True))
                if one.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE):
                    continue
                one.suspend()
                time.sleep(random.uniform(0, longest))
                one.resume()


def main(
    command: Annotated[list[str], typer.Argument(help="What to run.", show_default=False)],
    share: Annotated[float, typer.Option(min=0.0, max=0.9, help="Of each CPU's time that is taken away.")] = 0.2,
    period: Annotated[float, typer.Option(min=0.01, help="Seconds in which that is done once.")] = 1.5,
    cold: Annotated[
        float, typer.Option(min=1.0, help="Seconds between two times that the page cache is dropped.")
    ] = 20.0,
    stop: Annotated[
        float, typer.Option(min=0.0, help="Seconds that single processes stand still at most; 0: none.")
    ] = 0.0,
) -> None:
    """Run a command beside work that takes the CPU and empties the page cache, and stop its processes now and then."""
    if os.geteuid() != 0:
        raise typer.BadParameter("needs root: for a real-time priority and to drop the page cache")
    for cpu in sorted(os.sched_getaffinity(0)):
        multiprocessing.Process(target=_take, args=(cpu, share, period), daemon=True).start()
    child = subprocess.Popen(command)
    for _ in range(_STOPPED_AT_ONCE if stop else 0):
        threading.Thread(target=_stop_now_and_then, args=(child.pid, stop)).start()
    while True:
        try:
            sys.exit(child.wait(cold))
        except subprocess.TimeoutExpired:
            _DROP.write_text(_FILES)
        except KeyboardInterrupt:
            sys.exit(child.wait())


if __name__ == "__main__":
    typer.run(main)
