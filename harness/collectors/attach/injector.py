"""Run as a program of its own: brings code into a process, once. Reads an order from stdin, prints what came of it.

Order: `{"pid", "library", "root", "port", "code", "seconds"}`. At rest, `library` (memray's) is loaded and told to fetch its
script from `port`; else `code` is queued for the main thread. Files of the target are found below `root`. Answer: `{"how":
"rest"|"pending", "tid", "call", "page", "stopped_s"}` or `{"failed": KIND, "message"}` with KIND `gone`, `refused`, `missing`
or `busy`.

A process of its own, because a tracer is one thread, and so that no signal to the harness comes between saving registers and
putting them back: SIGTERM and SIGINT wait until the target has been let go.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from harness.collectors.attach import elf, threads
from harness.collectors.attach.ptrace import CallFailed, Thread

_LIBRARIES = ("libc.so.6", "libdl.so.2")
_SPAWN = "memray_spawn_client"
_PAGE = 16384
_READ_WRITE, _PRIVATE_ANONYMOUS, _NOW = 3, 0x22, 2
_LEAST_STACK = 128 * 1024
"""Loading a library takes some tens of KiB of stack; threads of native libraries may have less."""
_LOOKS = 4


class _Cannot(Exception):
    """The injection is impossible; the arguments are kind and message."""


def main() -> None:
    """One order, one answer."""
    order = json.loads(sys.stdin.read())
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    try:
        answer = _inject(order)
    except _Cannot as error:
        answer = {"failed": error.args[0], "message": error.args[1]}
    except PermissionError as error:
        answer = {"failed": "refused", "message": error.strerror}
    except (FileNotFoundError, ProcessLookupError):
        answer = {"failed": "gone", "message": "the process is gone"}
    except CallFailed as error:
        answer = {"failed": "busy", "message": str(error)}
    print(json.dumps(answer))  # noqa: T201  # the answer


def _inject(order: dict[str, Any]) -> dict[str, Any]:
    pid = int(order["pid"])
    deadline = time.monotonic() + float(order["seconds"])
    symbols = Symbols(pid, str(order["root"]))
    failure: Exception | None = None
    for _ in range(_LOOKS):
        for thread in threads.waiting(pid):
            try:
                answer = _at_rest(pid, thread, order, symbols, deadline)
            except CallFailed as error:
                failure = error
                continue
            if answer is not None:
                return answer
        if order.get("only_at_rest"):
            time.sleep(0.05)
            continue
        break
    if order.get("only_at_rest"):
        raise failure or CallFailed("no thread of the target is at rest")
    return _pending(pid, order, symbols, deadline)


def _at_rest(
    pid: int, waiting: threads.Waiting, order: dict[str, Any], symbols: Symbols, deadline: float
) -> dict[str, Any] | None:
    """Load the library in a thread at rest; None where it has gone on meanwhile, or its stack is small."""
    dlopen, mmap, munmap = symbols.libc("dlopen"), symbols.libc("mmap"), symbols.libc("munmap")
    path = str(order["library"])
    spawn = elf.functions(symbols.here(path), {_SPAWN})[_SPAWN]
    began = time.monotonic()
    with Thread(pid, waiting.tid, deadline=deadline) as thread:
        if threads.at_rest(pid, waiting.tid) is None:
            return None
        stack = elf.mapping_of(pid, thread.stack)
        if waiting.tid != pid and (stack is None or thread.stack - stack[0] < _LEAST_STACK):
            return None
        page = _page(thread, mmap)
        thread.write(page, path.encode() + b"\0")
        handle = thread.call(dlopen, page, _NOW)
        thread.call(munmap, page, _PAGE)
        if handle == 0:
            raise _Cannot("missing", f"the target cannot load {path}")
        base = next((image.start for image in elf.images(pid) if image.path == path), None)
        if base is None:
            raise _Cannot("missing", f"{path} is not mapped in the target")
        if thread.call(base + spawn, int(order["port"])) != 0:
            raise _Cannot("busy", "the target cannot start another thread")
    seconds = time.monotonic() - began
    return {"how": "rest", "tid": waiting.tid, "call": waiting.call, "page": None, "stopped_s": seconds}


def _pending(pid: int, order: dict[str, Any], symbols: Symbols, deadline: float) -> dict[str, Any]:
    """Queue the code for the main thread, by any thread that can be stopped: neither call takes a lock of the C library."""
    mmap, add, run = symbols.libc("mmap"), symbols.python("Py_AddPendingCall"), symbols.python("PyRun_SimpleString")
    code = str(order["code"]).encode() + b"\0"
    if len(code) > _PAGE:
        raise _Cannot("missing", "the code is too long")
    began = time.monotonic()
    with Thread(pid, pid, deadline=deadline) as thread:
        page = _page(thread, mmap)
        thread.write(page, code)
        if thread.call(add, run, page) & 0xFFFFFFFF != 0:
            raise CallFailed("the target's queue of pending calls is full")
    return {"how": "pending", "tid": pid, "call": None, "page": page, "stopped_s": time.monotonic() - began}


def _page(thread: Thread, mmap: int) -> int:
    """Memory of our own in the target."""
    page = thread.call(mmap, 0, _PAGE, _READ_WRITE, _PRIVATE_ANONYMOUS, (1 << 64) - 1, 0)
    if page >= (1 << 64) - 4096:
        raise _Cannot("busy", "the target has no memory left")
    return page


class Symbols:
    """Addresses in the target by name, looked up when asked for."""

    def __init__(self, pid: int, root: str) -> None:
        """`root` is in front of the target's paths for us."""
        self._root = root
        self._images = elf.images(pid)
        self._executable = str(Path(f"/proc/{pid}/exe").readlink())

    def here(self, path: str) -> Path:
        """Where we find a file of the target."""
        return Path(f"{self._root}{path}")

    def libc(self, name: str) -> int:
        """A function of the C library."""
        return self._find(name, [image for image in self._images if Path(image.path).name in _LIBRARIES])

    def python(self, name: str) -> int:
        """A function of the interpreter, in its program or its library."""
        of = [i for i in self._images if i.path == self._executable or Path(i.path).name.startswith("libpython3")]
        return self._find(name, of)

    def _find(self, name: str, images: list[elf.Image]) -> int:
        for image in images:
            try:
                found = elf.functions(self.here(image.path), {name})
            except (OSError, ValueError):
                continue
            if name in found:
                return image.start + found[name]
        raise _Cannot("missing", f"the target exports no {name}")


if __name__ == "__main__":
    main()
