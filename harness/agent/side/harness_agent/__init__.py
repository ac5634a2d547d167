"""The agent: a thread in a Python subject that tells what only the process itself knows.

It connects to a Unix socket of the harness and sends one JSON line every 250 ms: asyncio tasks by coroutine, event-loop
lag, threads, descriptors. On the command `collect` it forces a garbage collection, reads the heap and counts what is under
way; on `census` it only counts; on `trim` it lets the C library give free memory back.

Rules it lives by, because it is a guest:
- Every failure is silent, and the thread ends with the connection.
- It is a bare `_thread` (not seen by `threading`, never joined) with signals blocked, so that the subject's own
  `sigwait` or handlers get them.
- It uses `_socket` and the original `sleep` and thread functions, which gevent's monkey patching leaves alone, and
  never lets a broken connection raise SIGPIPE.
- A daemonising subject may close all descriptors and reuse our number: before each use the descriptor's identity is
  checked, so that we never write into a file of the subject.
- Nothing of it runs while the subject forks; a forked child gets a thread and a connection of its own.
"""

from __future__ import annotations

import _socket
import _thread
import json
import os
import signal
import sys
from _thread import allocate_lock, start_new_thread
from time import monotonic_ns, sleep, thread_time_ns

from .loops import PROBE_NS, Loops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .census import Greenlets

REPORT_NS = 250_000_000
_CONNECT_TRIES = 5
_FORK_WAIT_S = 0.2
_SEND_S = 1.0
_BUSY_SHARE = 50  # after a look at the tasks that took t, the next comes no sooner than 50 t later: 2 % of a core
_SYNCHRONOUS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}


class Agent:
    """One process's agent."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._work = allocate_lock()
        self._socket: _socket.socket | None = None
        self._identity: tuple[int, int] | None = None

    def launch(self) -> None:
        """Start the thread, in this process and in every child it forks."""
        os.register_at_fork(
            before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._in_forked_child
        )
        self._spawn()

    def _spawn(self) -> None:
        blocked = signal.valid_signals() - _SYNCHRONOUS
        before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
        try:
            start_new_thread(self._main, ())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _before_fork(self) -> None:
        try:
            # Between two looks at the subject the thread holds no lock and iterates over nothing.
            self._work.acquire(timeout=_FORK_WAIT_S)
            if sys.version_info >= (3, 12) and _thread._count() <= 1:
                _ignore_fork_warning()
        except BaseException:  # noqa: BLE001, S110  # nothing of ours may reach the subject
            pass

    def _after_fork(self) -> None:
        try:  # noqa: SIM105  # contextlib would cost the subject memory
            self._work.release()
        except BaseException:  # noqa: BLE001, S110  # not held where acquiring timed out
            pass

    def _in_forked_child(self) -> None:
        try:
            if self._socket is not None and self._still_ours():
                self._socket.close()  # the child's copy only
            self._socket = None
            self._work = allocate_lock()
            self._spawn()
        except BaseException:  # noqa: BLE001, S110  # nothing of ours may reach the subject
            pass

    def _main(self) -> None:
        try:
            self._connect()
            self._serve()
        except BaseException:  # noqa: BLE001, S110  # nothing of ours may reach the subject
            pass

    def _connect(self) -> None:
        for attempt in range(_CONNECT_TRIES):
            sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            try:
                sock.connect(self._address)
                stat = os.fstat(sock.fileno())
                self._identity = (stat.st_dev, stat.st_ino)
                self._socket = sock
                break
            except OSError:
                sock.close()
                sleep(0.2 * (attempt + 1))
        version = ".".join(map(str, sys.version_info[:3]))
        self._send({"type": "hello", "pid": os.getpid(), "python": version, "probe_ns": PROBE_NS})

    def _still_ours(self) -> bool:
        if self._socket is None:
            return False
        stat = os.fstat(self._socket.fileno())
        return (stat.st_dev, stat.st_ino) == self._identity

    def _send(self, message: dict[str, object]) -> None:
        if self._socket is None or not self._still_ours():
            raise SystemExit
        self._socket.settimeout(_SEND_S)
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        while data:
            data = data[self._socket.send(data, _socket.MSG_NOSIGNAL) :]

    def _received(self) -> bytes:
        if self._socket is None or not self._still_ours():
            raise SystemExit
        try:
            self._socket.settimeout(0)  # with a timeout, Python would wait for data before it asks for it
            data = self._socket.recv(4096)
        except BlockingIOError:
            return b""
        if not data:
            raise SystemExit
        return data

    def _serve(self) -> None:
        loops = Loops()
        greenlets = None
        next_report = monotonic_ns()
        while True:
            with self._work:
                if greenlets is None and "gevent" in sys.modules:
                    greenlets = _greenlets()
                if greenlets is not None:
                    loops.try_to(greenlets.watch)
                received = self._received()
                if b"collect" in received:
                    self._send(_collect(loops, greenlets))
                elif b"census" in received:
                    self._send({"type": "census", **_census(loops, greenlets)})
                elif b"trim" in received:
                    self._send(_trim())
                loops.try_to(loops.probe)
                now = monotonic_ns()
                if now >= next_report:
                    started = thread_time_ns()
                    self._send(_report(loops))
                    next_report = now + max(REPORT_NS, _BUSY_SHARE * (thread_time_ns() - started))
            sleep((PROBE_NS if loops.any else min(PROBE_NS * 2, REPORT_NS)) / 1e9)


def _report(loops: Loops) -> dict[str, object]:
    message: dict[str, object] = {
        "type": "report",
        "t_ns": monotonic_ns(),
        "threads": _thread._count() + 1,
        "fds": len(os.listdir("/proc/self/fd")),  # noqa: PTH208  # pathlib would cost the subject a megabyte
        "cpu_ns": thread_time_ns(),
        "lags": loops.take_lags(),
    }
    loops.try_to(lambda: message.update(loops.tasks()))
    return message


def _greenlets() -> Greenlets:
    from .census import Greenlets

    return Greenlets()


def _collect(loops: Loops, greenlets: Greenlets | None) -> dict[str, object]:
    from . import heap

    return {"type": "collect", "t_ns": monotonic_ns(), **heap.collect_and_read(), **_census(loops, greenlets)}


def _trim() -> dict[str, object]:
    from . import heap

    return {"type": "trim", **heap.trim()}


def _census(loops: Loops, greenlets: Greenlets | None) -> dict[str, object]:
    from . import census

    answer: dict[str, object] = {}
    loops.try_to(lambda: answer.update(census.census(loops.alive(), greenlets or census.Greenlets())))
    return answer


def _ignore_fork_warning() -> None:
    """Python 3.12+ warns of forks in processes with threads; ours alone is no reason to warn the subject's users."""
    import warnings

    warnings.filterwarnings("ignore", r".*is multi-threaded, use of", DeprecationWarning)


def start(address: str) -> None:
    """Start the agent of this process."""
    Agent(address).launch()
