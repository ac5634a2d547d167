"""Processes to attach to, one kind each. Run as a program: `attach_targets.py KIND`.

Whatever it does, SIGUSR1 makes its main thread print `answer N`: proof, from the outside, that it still works.
"""

from __future__ import annotations

import asyncio
import collections
import ctypes
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

READY_S = 20.0
ANSWER_S = 180.0


def _busy() -> None:
    keep: list[bytearray] = []
    while True:
        keep.append(bytearray(1000))
        if len(keep) > 5000:
            keep.clear()


def _spinning() -> None:
    """Busy without an allocation, so that nobody ever reaches an allocator."""
    while True:
        pass


async def _forever() -> None:
    # uvloop runs Python signal handlers only where it knows of them
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, _answer)
    await asyncio.Event().wait()


def _uvloop() -> None:
    import uvloop  # type: ignore[import-not-found, unused-ignore]

    uvloop.run(_forever())


def _accept() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.accept()


def _deaf(seconds: float) -> None:
    """In the kernel, and with the interpreter's lock: an injected thread waits for that lock."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    threading.Event().wait()


def _computing(seconds: float) -> None:
    """In C code that looks neither at signals nor at what is queued; of so much CPU time. After `_calibrate`."""
    collections.deque(itertools.repeat(None, int(_items_a_second * seconds)), maxlen=0)
    threading.Event().wait()


def _calibrate() -> None:
    """Before it is ready: between two pieces of C code others are let in."""
    global _items_a_second
    some, began = 30_000_000, time.process_time()
    collections.deque(itertools.repeat(None, some), maxlen=0)
    _items_a_second = some / (time.process_time() - began)


KINDS: dict[str, Callable[[], object]] = {
    "busy": _busy,
    "spinning": _spinning,
    "idle-asyncio": lambda: asyncio.run(_forever()),
    "idle-uvloop": _uvloop,
    "blocked-event": lambda: threading.Event().wait(),
    "blocked-accept": _accept,
    "blocked-read": lambda: os.read(os.pipe()[0], 1),
}
"""Those that must let memray in."""

STUBBORN: dict[str, Callable[[], object]] = {"deaf": lambda: _deaf(8), "computing": lambda: _computing(10)}
"""Those that let nobody in for some seconds, and are at peace afterwards."""

COMPUTING = ("busy", "spinning", "computing")
"""Those of both that use a CPU; the others wait in the kernel."""

_answers = 0
_items_a_second = 0.0


def _answer(_number: int = 0, _frame: FrameType | None = None) -> None:
    global _answers
    _answers += 1
    os.write(1, f"answer {_answers}\n".encode())


class Running:
    """A target that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.pid = process.pid
        self._asked = 0

    def answers(self) -> bool:
        """Whether its main thread prints an answer when asked."""
        self._asked += 1
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)
        return self._line() == f"answer {self._asked}"

    def pause(self) -> None:
        """Stop it, so that it costs nothing while it is not its turn."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        os.kill(self.pid, signal.SIGCONT)

    def await_work(self, *, computes: bool) -> None:
        """Wait until it does what it is there for, which it says that it will: uses a CPU, or waits in the kernel."""
        import psutil  # the targets' own Pythons need not have these

        from harness.collectors.attach import threads

        of = psutil.Process(self.pid)
        deadline, began = time.monotonic() + READY_S, of.cpu_times().user
        while not (of.cpu_times().user - began >= 0.1 if computes else threads.at_rest(self.pid, self.pid)):
            assert time.monotonic() < deadline, "it does not come to its work"
            time.sleep(0.01)

    def _line(self) -> str:
        """The next line, or what there is after a while."""
        found: list[str] = []
        assert self.process.stdout is not None
        reader = threading.Thread(target=lambda: found.append(self.process.stdout.readline()), daemon=True)  # type: ignore[union-attr]
        reader.start()
        reader.join(ANSWER_S)
        return found[0].strip() if found else ""


@contextmanager
def running(kind: str, python: str = sys.executable) -> Iterator[Running]:
    """A target of a kind, ready; killed at the end."""
    command = [python, __file__, kind]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            target = Running(process)
            assert target._line() == "ready", f"{kind} did not start"
            target.await_work(computes=kind in COMPUTING)
            yield target
        finally:
            process.kill()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _answer)
    if sys.argv[1] == "computing":
        _calibrate()
    os.write(1, b"ready\n")
    (KINDS | STUBBORN)[sys.argv[1]]()
