"""How a process ends, by the real thing. Also a program: `python -m harness.controllers.calibrated.endings oom`.

Standard library only: benchmarks start it hundreds of times.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import tempfile

PAGE_BYTES = 4096
STEP_BYTES = 2**20
MOST_BYTES = 2**30
"""Where there is no limit below, allocating stops here instead of taking the machine down."""
THRASH_BYTES = 2**29
"""Size of the file that is read again and again: it must be larger than the memory limit."""


def allocate_past_the_limit(most_bytes: int = MOST_BYTES) -> None:
    """Take memory, a MiB at a time, until the kernel kills this process. Raises MemoryError where it does not."""
    held = []
    for _ in range(most_bytes // STEP_BYTES):
        step = mmap.mmap(-1, STEP_BYTES)
        for offset in range(0, STEP_BYTES, PAGE_BYTES):
            step[offset] = 1
        held.append(step)
    raise MemoryError(f"still alive with {most_bytes >> 20} MiB allocated: there is no memory limit below")


def thrash(file_bytes: int = THRASH_BYTES) -> None:
    """Keep the limit busy with page cache, which the kernel takes back each time: no kill, no progress. Never returns.

    The file is sparse and has no name: it costs no disk and leaves nothing behind.
    """
    with tempfile.TemporaryFile(buffering=0) as file:
        file.truncate(file_bytes)
        buffer = bytearray(STEP_BYTES)
        while True:
            file.seek(0)
            while file.readinto(buffer):
                pass


def die_of(number: int) -> None:
    """Send this process a signal. SIGSEGV and its like end it as a fault in its own code would, without a core file."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else None
    os.kill(os.getpid(), number)


def _main(how: str, *more: str) -> None:
    match how:
        case "oom":
            allocate_past_the_limit()
        case "thrash":
            thrash()
        case "exit":
            os._exit(int(more[0]))
        case "signal":
            die_of(signal.Signals[f"SIG{more[0]}"])


if __name__ == "__main__":
    _main(*sys.argv[1:])
