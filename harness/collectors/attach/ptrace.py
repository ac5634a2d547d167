"""One stopped thread of another process, made to call functions. x86-64 Linux.

The kernel's `ptrace`, directly: the thread alone is stopped (`PTRACE_SEIZE`, so that it is let go when we die), its general
and extended registers are saved and put back, and a call returns to an address that cannot be mapped, which stops the
thread for us again. All calls of one `Thread` come from the operating system thread that made it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_CONT, _DETACH, _GETREGSET, _SETREGSET, _SEIZE, _INTERRUPT = 7, 17, 0x4204, 0x4205, 0x4206, 0x4207
_GETSIGMASK, _SETSIGMASK = 0x420A, 0x420B
_GENERAL, _EXTENDED = 1, 0x202
_EXTENDED_MOST = 64 * 1024
_EVENT_STOP = 128
_RETURN_TO = 0x1000
"""Below what any process may map: a function that returns there faults, which stops the thread."""
_RED_ZONE = 128
_SYNCHRONOUS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)
_WALL = 0x40000000
_NAMES = (
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "orig_rax",
    "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
)  # fmt: skip
_ARGUMENTS = ("rdi", "rsi", "rdx", "rcx", "r8", "r9")


class CallFailed(Exception):
    """The thread could not be stopped, or a call in it did not come to its end; it runs on as if we had not been there."""


class ThreadGone(CallFailed):
    """The thread ended."""


class _Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in _NAMES]


class _Block(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def _ptrace(request: int, tid: int, address: int = 0, data: object = None) -> None:
    if _libc.ptrace(request, tid, address, data) == -1:
        number = ctypes.get_errno()
        if number == errno.ESRCH:
            raise ThreadGone("the thread is gone")
        raise OSError(number, os.strerror(number))


class Thread:
    """A context: the thread is stopped inside, and goes on where it was afterwards, whatever happened."""

    def __init__(self, pid: int, tid: int, *, deadline: float) -> None:
        """`deadline`: a `time.monotonic` value after which no call is waited for."""
        self.pid = pid
        self.tid = tid
        self._deadline = deadline
        self._saved = _Registers()
        self._extended = b""
        self._mask = ctypes.c_uint64()

    def __enter__(self) -> Self:
        """Stop it. Raises PermissionError where the kernel refuses, CallFailed where it does not stop in time."""
        _ptrace(_SEIZE, self.tid)
        try:
            _ptrace(_INTERRUPT, self.tid)
            self._until_stopped()
            self._get(_GENERAL, self._saved, ctypes.sizeof(self._saved))
            room = ctypes.create_string_buffer(_EXTENDED_MOST)
            length = self._get(_EXTENDED, room, _EXTENDED_MOST)  # before `raw`, which is a copy
            self._extended = room.raw[:length]
            _ptrace(_GETSIGMASK, self.tid, 8, ctypes.addressof(self._mask))
            if self._saved.cs != 0x33:
                raise CallFailed("not a 64-bit thread")
            # No handler of the target runs on top of our calls, and threads that they start take no signals from it.
            blocked = (1 << 64) - 1
            for number in _SYNCHRONOUS:
                blocked &= ~(1 << (number - 1))
            mask = ctypes.c_uint64(blocked)
            _ptrace(_SETSIGMASK, self.tid, 8, ctypes.addressof(mask))
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._let_go()

    @property
    def stack(self) -> int:
        """Its stack pointer."""
        return int(self._saved.rsp)

    @property
    def extended(self) -> bytes:
        """Its vector and floating point registers as it was stopped, as `XSAVE` writes them."""
        return self._extended

    def call(self, function: int, *arguments: int) -> int:
        """The result of `function(*arguments)` in the thread. Raises CallFailed where it does not return in time."""
        registers = _Registers.from_buffer_copy(self._saved)
        registers.rsp = ((self._saved.rsp - _RED_ZONE - 128) & ~0xF) - 8
        self.write(registers.rsp, _RETURN_TO.to_bytes(8, "little"))
        registers.rip, registers.rax = function, 0
        registers.orig_rax = (1 << 64) - 1  # not within a system call: nothing to be restarted
        for name, value in zip(_ARGUMENTS, arguments, strict=False):
            setattr(registers, name, value & ((1 << 64) - 1))
        self._set(_GENERAL, registers, ctypes.sizeof(registers))
        _ptrace(_CONT, self.tid)
        number = self._wait()
        self._get(_GENERAL, registers, ctypes.sizeof(registers))
        if number == signal.SIGSEGV and registers.rip == _RETURN_TO:
            return int(registers.rax)
        raise CallFailed(f"a call in the target was stopped by signal {number} at {registers.rip:#x}")

    def write(self, address: int, data: bytes) -> None:
        """Put bytes into the memory of the process."""
        write(self.pid, address, data)

    # -- stopping and letting go ---------------------------------------------------------------------------------------

    def _until_stopped(self) -> None:
        """A signal on its way to the thread comes first: it gets it, and another moment has to be found for us."""
        number = self._wait()
        if number != 0:
            _ptrace(_DETACH, self.tid, 0, number)
            raise CallFailed(f"signal {number} came to the thread at that moment")

    def _wait(self) -> int:
        """Wait for the next stop: 0 for the one we asked for, else the signal. Interrupts it at the deadline."""
        late = False
        while True:
            try:
                tid, status = os.waitpid(self.tid, os.WNOHANG | _WALL)
            except ChildProcessError:
                raise ThreadGone("the thread is gone") from None
            if tid == self.tid:
                if not os.WIFSTOPPED(status):
                    raise ThreadGone("the thread ended")
                if late:
                    raise CallFailed("a call in the target did not return in time")
                return 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)
            now = time.monotonic()
            if now > self._deadline + 1:
                raise CallFailed("the thread does not stop: it waits in the kernel for a device")
            if now > self._deadline and not late:
                late = True
                _ptrace(_INTERRUPT, self.tid)
            time.sleep(0.0005)

    def _let_go(self) -> None:
        """Put everything back and detach; a thread that is gone needs nothing."""
        try:
            if self._extended:
                self._set(
                    _EXTENDED, ctypes.create_string_buffer(self._extended, len(self._extended)), len(self._extended)
                )
                self._set(_GENERAL, self._saved, ctypes.sizeof(self._saved))
                _ptrace(_SETSIGMASK, self.tid, 8, ctypes.addressof(self._mask))
            _ptrace(_DETACH, self.tid)
        except ThreadGone:
            return  # or let go already

    def _get(self, kind: int, target: object, size: int) -> int:
        block = _Block(ctypes.addressof(target), size)  # type: ignore[arg-type]
        _ptrace(_GETREGSET, self.tid, kind, ctypes.addressof(block))
        return int(block.length)

    def _set(self, kind: int, source: object, size: int) -> None:
        block = _Block(ctypes.addressof(source), size)  # type: ignore[arg-type]
        _ptrace(_SETREGSET, self.tid, kind, ctypes.addressof(block))


def write(pid: int, address: int, data: bytes) -> None:
    """Put bytes into the memory of a process that we may trace; it need not be stopped."""
    with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
        memory.seek(address)
        memory.write(data)
