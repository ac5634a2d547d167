"""How a process ends, by the real thing.

Also a program: `python -m harness.controllers.calibrated.endings HOW [wait]`, where HOW is `oom`, `thrash`, `exit:CODE`,
`signal:NAME` or `respawn:N`. With `wait` it says `ready` and goes on when it gets SIGUSR1. Standard library only:
benchmarks start it hundreds of times.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
import tempfile
import time

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
        step = mmap.mmap(-1, STEP_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
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
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def respawn(times: int) -> None:
    """Start a child that allocates past the limit, wait for its end, and start the next at once, as a supervisor does.

    A line per child on stdout says how it ended and when: what the kernel told its parent, which nobody else asks.
    """
    for number in range(1, times + 1):
        pid = os.fork()
        if pid == 0:
            try:
                allocate_past_the_limit()
            finally:
                os._exit(1)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        sys.stdout.write(f"child {number} {'killed' if killed else 'survived'} {time.monotonic_ns()}\n")
        sys.stdout.flush()


def _main(how: str, *words: str) -> None:
    if "wait" in words:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signal.sigwait({signal.SIGUSR1})
    verb, _, value = how.partition(":")
    match verb:
        case "oom":
            allocate_past_the_limit()
        case "thrash":
            thrash()
        case "exit":
            os._exit(int(value))
        case "signal":
            die_of(signal.Signals[f"SIG{value}"])
        case "respawn":
            respawn(int(value))
        case _:
            sys.exit(f"endings: {how!r} is not oom, thrash, exit:CODE, signal:NAME or respawn:N")


if __name__ == "__main__":
    _main(*sys.argv[1:])
