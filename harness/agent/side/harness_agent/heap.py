"""The live heap of this process after a forced collection: what pymalloc and the C library have handed out.

pymalloc tells its bytes in use only as text, printed to a C stream by `sys._debugmallocstats`. Redirecting descriptor 2
would take other threads' output away, so it is not touched. Where the interpreter exports the function behind it, that is
called with a stream in memory. Elsewhere the C library's `stderr` variable (glibc only: it is constant in musl) points to
that stream for the duration of the call, which holds the interpreter lock: Python code cannot write meanwhile, and
Python's own sys.stderr writes to descriptor 2 anyway. What other C threads wrote there is passed on.

malloc's share is `mallinfo2` (glibc 2.33 and later): bytes in use in all arenas plus what it has mapped. pymalloc's arenas
are mapped without malloc, so nothing counts twice. Chunks that were freed and wait in a thread's cache (tcache) are in use
to `mallinfo2`, up to 234 KiB a thread, and such a cache fills over many cycles of work, as a leak would. Those of the main
thread are taken off where its cache is laid out as in glibc 2.30 to 2.41 on 64 bits; elsewhere they count as in use.

Beside each stands what that allocator holds and has not handed out (`pymalloc_free`, `malloc_free`): memory between live
objects, which is resident and no leak. `trim` gives malloc's back to the system as far as that can be done.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import struct
import sys
from time import perf_counter_ns

_MARK = "# bytes in allocated blocks"
_ARENAS = re.compile(r"^(\d[\d,]*) arenas \* (\d[\d,]*) bytes/arena", re.MULTILINE)
_WORD = 8
_TCACHE = struct.Struct("<Q64H")
_TCACHE_CHUNK = 0x291
"""64 counts of 2 bytes, 64 pointers, the chunk's own header of 16 bytes, and the bit."""
_SMALLEST_CHUNK = 32
_MOST_CACHED = 127
"""Of one size: 7 by default, up to 127 by a tunable in most releases. More is no such cache."""


class _MallInfo2(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
        )
    ]  # fmt: skip


def collect_and_read() -> dict[str, object]:
    """Collect garbage, then read: `pymalloc` and `malloc` in bytes, or None with a reason under `reasons`."""
    started = perf_counter_ns()
    collected = gc.collect()
    if collected:
        collected += gc.collect()  # what finalizers of the first round let go
    reasons: dict[str, str] = {}
    answer: dict[str, object] = {"collected": collected, "seconds": (perf_counter_ns() - started) / 1e9}
    for part, read in (("pymalloc", _pymalloc), ("malloc", _malloc)):
        try:
            answer[part], answer[f"{part}_free"] = read()
        except _AbsentError as error:
            answer[part], reasons[part] = None, str(error)
        except Exception as error:  # noqa: BLE001  # nothing of ours may reach the subject
            answer[part], reasons[part] = None, type(error).__name__
    answer["reasons"] = reasons
    return answer


def trim() -> dict[str, object]:
    """Let the C library give free memory back to the system (`malloc_trim`): whether it gave any, or why it cannot."""
    try:
        libc = _libc()
        libc.malloc_trim.argtypes = [ctypes.c_size_t]
        return {"trimmed": bool(libc.malloc_trim(0))}
    except _AbsentError as error:
        return {"trimmed": None, "reason": str(error)}
    except Exception as error:  # noqa: BLE001  # nothing of ours may reach the subject
        return {"trimmed": None, "reason": type(error).__name__}


class _AbsentError(Exception):
    """This process cannot tell, and why."""


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        raise _AbsentError("the C library is not glibc")
    return libc


def _malloc() -> tuple[int, int]:
    """Bytes handed out, and bytes held for later."""
    libc = _libc()
    if not hasattr(libc, "mallinfo2"):
        raise _AbsentError("glibc is older than 2.33 and has no mallinfo2")
    libc.mallinfo2.restype = _MallInfo2
    libc.mallinfo2.argtypes = []
    cached = _cached()
    info = libc.mallinfo2()
    return int(info.uordblks) + int(info.hblkhd) - cached, int(info.fordblks) + cached


def _cached(proc: str = "/proc/self") -> int:
    """Bytes of the freed chunks in the main thread's cache, or 0 where they cannot be told.

    The cache is the first chunk of the heap that `brk` grows: its size with the bit that the one before is in use, then how
    many chunks of each size there are. Read from the process's memory as a file: a wrong address is an error there, no crash.
    """
    try:
        start = _heap_start(proc)
        if start is None:
            return 0
        with open(f"{proc}/mem", "rb", buffering=0) as memory:  # noqa: PTH123  # pathlib would be loaded into the subject
            memory.seek(start + _WORD)
            size, *counts = _TCACHE.unpack(memory.read(_TCACHE.size))
    except (OSError, OverflowError, struct.error):
        return 0
    if size != _TCACHE_CHUNK or max(counts) > _MOST_CACHED:
        return 0
    return sum(count * (_SMALLEST_CHUNK + 2 * _WORD * number) for number, count in enumerate(counts))


def _heap_start(proc: str) -> int | None:
    with open(f"{proc}/maps", "rb") as maps:  # noqa: PTH123  # pathlib would be loaded into the subject
        for line in maps:
            if line.endswith(b"[heap]\n"):
                return int(line.partition(b"-")[0], 16)
    return None


def _pymalloc() -> tuple[int, int | None]:
    """Bytes handed out, and bytes of its arenas beside them; None where the interpreter does not tell its arenas."""
    text = _stats()
    arenas = _ARENAS.search(text)
    for line in text.splitlines():
        if line.startswith(_MARK):
            used = int(line.rsplit("=", 1)[1].replace(",", "").strip())
            held = None if arenas is None else _number(arenas[1]) * _number(arenas[2])
            return used, None if held is None else held - used
    raise _AbsentError("pymalloc is not in use")


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _stats() -> str:
    libc = _libc()
    libc.open_memstream.restype = ctypes.c_void_p
    libc.open_memstream.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_size_t)]
    libc.fflush.argtypes = libc.fclose.argtypes = libc.free.argtypes = [ctypes.c_void_p]
    libc.free.restype = None
    buffer, size = ctypes.c_char_p(), ctypes.c_size_t()
    stream = libc.open_memstream(ctypes.byref(buffer), ctypes.byref(size))
    if not stream:
        raise _AbsentError("no stream in memory could be opened")
    try:
        function = getattr(ctypes.pythonapi, "_PyObject_DebugMallocStats", None)
        if function is not None:
            function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_int
            function(stream)
        else:
            _with_stderr(libc, stream)
        libc.fflush(stream)
        raw = ctypes.string_at(buffer, size.value)
    finally:
        libc.fclose(stream)
        libc.free(buffer)
    if function is None and (foreign := _foreign(raw)):
        os.write(2, foreign)
    return raw.decode(errors="replace")


def _with_stderr(libc: ctypes.CDLL, stream: int) -> None:
    variable = ctypes.c_void_p.in_dll(libc, "stderr")
    before = variable.value
    variable.value = stream
    try:
        sys._debugmallocstats()
    finally:
        variable.value = before


def _foreign(raw: bytes) -> bytes:
    """The lines that the interpreter's statistics do not consist of: another thread's words."""
    ours = re.compile(
        rb"\s*$|#|Small block threshold|class +size|-----|arena map counts$"
        rb"|[ \d,]+$|(Total|\d+ (arenas|unused|free)) .*|[^:]* [\d,]+$"
    )
    return b"".join(line for line in raw.splitlines(keepends=True) if not ours.match(line))
