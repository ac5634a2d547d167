"""A subject of known quantities: memory, threads, descriptors, CPU time, tasks, one block of its event loop.

Says `ready`, does all of it when it gets SIGUSR1, prints the truth as one JSON line, and then rests. Standard library only.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import sys
import threading
import time

BYTES = 64 << 20
THREADS = 5
FDS = 40
TASKS = 70
BLOCK_S = 0.4
CPU_S = 1.5
_SLICE_S = 0.005
_PAGE = 4096


async def main() -> None:
    """See the module."""
    go = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, go.set)
    print("ready", flush=True)
    await go.wait()
    held = mmap.mmap(-1, BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, BYTES, _PAGE):
        held[offset] = 1
    rest = threading.Event()
    for _ in range(THREADS):
        threading.Thread(target=rest.wait, daemon=True).start()
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(FDS)]
    tasks = [asyncio.create_task(_for_ever()) for _ in range(TASKS)]
    began = time.process_time()
    while time.process_time() - began < CPU_S:
        piece = time.process_time()
        while time.process_time() - piece < _SLICE_S:
            pass
        await asyncio.sleep(0)
    await asyncio.sleep(0.5)
    blocked = time.monotonic()
    time.sleep(BLOCK_S)  # noqa: ASYNC251  # that it blocks is the point
    blocked = time.monotonic() - blocked
    await asyncio.sleep(0.5)
    truth = {
        "blocked_s": blocked,
        "cpu_s": time.process_time(),
        "fds": len(fds),
        "tasks": len(tasks),
        "bytes": len(held),
    }
    print(json.dumps(truth), flush=True)
    await _for_ever()


async def _for_ever() -> None:
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
