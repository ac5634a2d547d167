"""A supervised child as the harness holds it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import RunFault
from harness.process import leftovers, supervisor

END_MARGIN_S = 30.0
"""Beyond the grace: how long SIGKILL and the removal of cgroups may take on a machine that is out of memory or CPU."""


STREAM_END_S = 1.0
"""How long the last output of a child that has ended may take to arrive."""


class Stream(asyncio.StreamReader):
    """A StreamReader that tells when the other end was closed, before all is read."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit)
        self.ended = asyncio.Event()

    def feed_eof(self) -> None:
        """The other end was closed."""
        super().feed_eof()
        self.ended.set()


@dataclass(frozen=True, slots=True)
class Exit:
    """How the main process of a child ended.

    `code` follows the shell: 128 + `signal` for a death by signal. `sent` are the signals the harness had sent it before.
    `supervised` False: its supervisor was killed, which killed the child too; then the rest is inferred.
    """

    code: int
    signal: int | None
    t_monotonic_ns: int
    max_rss_bytes: int
    cpu_s: float
    sent: tuple[int, ...] = ()
    supervised: bool = True

    def __str__(self) -> str:
        return f"killed by {signal_name(self.signal)}" if self.signal else f"exit code {self.code}"


def signal_name(number: int) -> str:
    """`SIGTERM`; `signal 36` for one without a name."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


class Child:
    """A running child with its supervisor. Made by `process.spawn`; belongs to one event loop.

    Call `stop()` on every child in the end, in a `finally`. Were the harness to die instead, the supervisor would do
    the same by itself.
    """

    stdin: asyncio.StreamWriter | None = None
    stdout: Stream | None = None
    stderr: Stream | None = None

    def __init__(
        self, name: str, token: str, link: socket.socket, popen: subprocess.Popen[bytes], *, remove: Sequence[Path]
    ) -> None:
        self.name = name
        self.token = token
        """Value of HARNESS_CHILD in the environment of every process of the tree."""
        self.pid = 0
        self.supervisor_pid = popen.pid
        self._remove = remove
        self._lost = False  # the supervisor ended before its work was done
        self._popen = popen
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._answer: dict[str, Any] | None = None
        self._answered = asyncio.Event()
        self._exit: Exit | None = None
        self._exited = asyncio.Event()
        self._stuck: Sequence[int] = ()
        self._gone = asyncio.Event()
        self._left = asyncio.Event()
        self.transports: list[asyncio.BaseTransport] = []
        self._pidfd = os.pidfd_open(popen.pid)
        self._loop.add_reader(link, self._on_message)
        self._loop.add_reader(self._pidfd, self._on_supervisor_left)

    def returned(self) -> Exit | None:
        """How the main process ended; None while it lives."""
        return self._exit

    async def wait(self, timeout: float | None = None) -> Exit:
        """Wait until the main process has ended. Raises TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            await self._exited.wait()
        assert self._exit is not None
        return self._exit

    def send_signal(self, number: int) -> None:
        """Signal the main process, if it lives."""
        self._tell(signal=int(number))

    async def end(self, grace_s: float = 5.0) -> Exit:
        """End the whole tree: SIGTERM, after `grace_s` SIGKILL. What was to be removed stays until `release`.

        Raises RunFault when processes withstand SIGKILL.
        """
        self._tell(end=grace_s)
        try:
            async with asyncio.timeout(grace_s + END_MARGIN_S):
                await self._gone.wait()
        except TimeoutError:
            self._popen.kill()  # takes the child along, see PR_SET_PDEATHSIG in supervisor.py
            raise RunFault(
                "its supervisor did not answer and was killed",
                place=self.name,
                remedy="run `harness clean` for the rest",
            ) from None
        if self._stuck:
            pids = ", ".join(map(str, self._stuck))
            raise RunFault(f"processes {pids} withstand SIGKILL", place=self.name, remedy="see their state with `ps`")
        return await self.wait(END_MARGIN_S)

    async def release(self) -> None:
        """Let the supervisor remove what was to be removed, and leave. The tree must have ended."""
        self._tell(release=True)
        try:
            async with asyncio.timeout(END_MARGIN_S):
                await self._left.wait()
        except TimeoutError:
            self._popen.kill()
            raise RunFault(
                "its supervisor did not leave and was killed",
                place=self.name,
                remedy="run `harness clean` for the rest",
            ) from None
        if self._lost:
            for path in self._remove:
                await asyncio.to_thread(supervisor.remove, str(path))
        await self._close_streams()

    async def stop(self, grace_s: float = 5.0) -> Exit:
        """End the tree and remove what was to be removed; again is harmless."""
        try:
            return await self.end(grace_s)
        finally:
            await self.release()

    async def kill(self) -> Exit:
        """`stop` without grace."""
        return await self.stop(0)

    async def started(self) -> dict[str, Any]:
        """The supervisor's first answer: `started` or `failed`. For `spawn`."""
        await self._answered.wait()
        assert self._answer is not None
        return self._answer

    def abandon(self) -> None:
        """Close the lifeline: the supervisor ends everything by itself."""
        self._close_link()

    def _tell(self, **message: object) -> None:
        if self._link.fileno() < 0:
            return
        try:
            self._link.send(json.dumps(message).encode() + b"\n")  # a few bytes: they always fit
        except OSError:
            return  # the supervisor has left; its pidfd tells

    def _on_message(self) -> None:
        while True:
            try:
                data = self._link.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._close_link()
                return
            *lines, self._buffer = (self._buffer + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "started" in message or "failed" in message:
            self._answer = message
            self.pid = message.get("started", 0)
            self._answered.set()
        elif "exit" in message:
            code = os.waitstatus_to_exitcode(message["exit"])
            self._exit = Exit(
                128 - code if code < 0 else code, -code if code < 0 else None, message["t_ns"], message["max_rss_bytes"],
                message["cpu_s"], tuple(message["sent"]),
            )  # fmt: skip
            self._exited.set()
        elif "gone" in message:
            self._stuck = message["stuck"]
            self._gone.set()
            if not self._remove:
                self._tell(release=True)

    def _on_supervisor_left(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._popen.wait()  # returns at once: the pidfd says that it has ended
        if self._link.fileno() >= 0:
            self._on_message()
            self._close_link()
        if self._answer is None:
            self._answer = {"failed": "supervisor", "errno": 0, "path": ""}
            self._answered.set()
        if not self._gone.is_set() and self.pid:
            self._lost = True
            leftovers.kill_tree(self.token)
            self._stuck = ()
        if self._exit is None:
            self._exit = Exit(128 + signal.SIGKILL, signal.SIGKILL, time.monotonic_ns(), 0, 0.0, supervised=False)
        for event in (self._exited, self._gone, self._left):
            event.set()

    def _close_link(self) -> None:
        if self._link.fileno() >= 0:
            self._loop.remove_reader(self._link)
            self._link.close()

    async def _close_streams(self) -> None:
        if self.stdin is not None:
            self.stdin.close()
        for stream in (self.stdout, self.stderr):
            try:
                # Let what was written last be read in. A full reader that nobody drains any more never sees the end.
                async with asyncio.timeout(STREAM_END_S):
                    await stream.ended.wait() if stream else None
            except TimeoutError:
                continue
        for transport in self.transports:
            transport.close()
        await asyncio.sleep(0)  # transports close their pipes in a callback


def open_log(path: Path) -> int:
    """A descriptor that appends to a log file, for the owner's eyes only: what a child says may be confidential."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def last_words(log: Path) -> str:
    """The last line of a child's log, for an error that says how it ended."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "no message"
