"""memray attached to a running process, from the injection to the last word."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.agent import attached_source
from harness.collectors.attach import container, remote_exec, threads
from harness.collectors.attach.injection import STOP_S, inject, started
from harness.collectors.attach.ptrace import write
from harness.collectors.attach.target import PTRACE_REMEDY, Target
from harness.core.errors import EnvironmentFault, RunFault

DEADLINE_S = 20.0
"""For attaching in all. On a quiet machine it takes less than a second; what is not in by then is taken back."""
DETACH_S = 10.0
"""For the last word of the target: it closes the capture."""

_PATIENCE_S = 1.0
"""How long queued code may take to run before another way is tried."""
_PAUSE_S = 0.2
_LINE = 1 << 16


@dataclass(frozen=True, slots=True)
class Proof:
    """That the target answers after it was let go: no thread of it is stopped, and its interpreter ran code of ours."""

    seconds: float
    main: str | None
    """Where its main thread is, `function (file:line)`."""


class Attachment:
    """memray tracks the target until `detach`, or until we are gone. Made by `attach`."""

    def __init__(self, target: Target, capture: Path) -> None:
        self.target = target
        self.capture = capture
        self.how = ""
        """`at rest in epoll_wait`, `between two bytecodes`, or `asked by sys.remote_exec`."""
        self.stopped_s = 0.0
        """How long one of its threads was stopped, in all."""
        self.proof: Proof | None = None
        self._name = f"harness-attach-{os.getpid()}-{secrets.token_hex(8)}"
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._hello: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._script_error = ""
        self._pages: list[int] = []
        self._talks: list[asyncio.Task[Any]] = []

    @classmethod
    async def attach(
        cls, target: Target, capture: Path, *, deadline_s: float = DEADLINE_S, objects: bool = False, inside: str = ""
    ) -> Attachment:
        """Begin to track allocations into `capture`. Within `deadline_s` it is attached, or nothing of it is left.

        `capture` is absolute: the target's working directory is another. With `objects` each Python object counts by itself,
        which takes several times as long; else pymalloc's arenas do, a MiB at a time. `inside` is what the target calls the
        capture, where that is another path.
        Raises RunFault where the target is gone or does not let us in, EnvironmentFault where the kernel refuses.
        """
        attachment = cls(target, capture)
        deadline = time.monotonic() + deadline_s
        scripts, control = await attachment._listen()
        try:
            port = int(scripts.sockets[0].getsockname()[1])
            await attachment._get_in(port, deadline)
            await attachment._order(
                "started",
                deadline - time.monotonic(),
                do="start",
                capture=inside or str(attachment.capture),
                objects="yes" if objects else "no",
            )
            attachment.proof = await attachment.ping()
        except BaseException:
            await attachment._undo()
            raise
        finally:
            for server in (scripts, control):
                server.close()  # who comes later finds nobody, and leaves
            for talk in attachment._talks:
                talk.cancel()
        return attachment

    async def _listen(self) -> tuple[asyncio.Server, asyncio.Server]:
        """For memray's library, and for what is brought in: where the target finds us."""
        if not self.target.root:
            scripts = await asyncio.start_server(self._script, "127.0.0.1", 0)
            return scripts, await asyncio.start_unix_server(self._connected, "\0" + self._name, limit=_LINE)
        tcp, unix = await asyncio.to_thread(container.listening, self.target.pid, self._name)
        scripts = await asyncio.start_server(self._script, sock=tcp)
        return scripts, await asyncio.start_unix_server(self._connected, sock=unix, limit=_LINE)

    async def ping(self) -> Proof:
        """Ask the target for a sign of life. Raises RunFault where it gives none."""
        began = time.monotonic()
        answer = await self._order("pong", DETACH_S, do="ping")
        held = [tid for tid in threads.of(self.target.pid) if _held(self.target.pid, tid)]
        if held:
            raise RunFault(f"threads {held} are still stopped", place=self._place, remedy="`kill -CONT` it")
        return Proof(time.monotonic() - began, answer.get("main"))

    async def detach(self) -> None:
        """Stop tracking and leave; again is harmless. Raises RunFault where the target does not answer (any more)."""
        if self._writer is None:
            return
        try:
            await self._order("stopped", DETACH_S, do="stop")
        finally:
            await self._close()

    @property
    def _place(self) -> str:
        return f"process {self.target.pid}"

    # -- getting in ----------------------------------------------------------------------------------------------------

    async def _get_in(self, port: int, deadline: float) -> None:
        """Ask the target, where its Python can be asked; else inject until it has said hello.

        Inject first any way, then, as a nudge, wherever a thread has come to rest.
        """
        if remote_exec.possible(self.target) and await self._asked(deadline):
            return
        last = "it did not run what was brought into it"
        only_at_rest = False
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise RunFault(
                    f"did not let memray in: {self._script_error or last}",
                    place=self._place,
                    remedy="it runs on untouched; try again when it does something else",
                )
            answer = await inject(
                self.target, port=port, code=self._code(), seconds=min(STOP_S, left), only_at_rest=only_at_rest
            )
            self.stopped_s += float(answer.get("stopped_s", 0.0))
            if "failed" in answer:
                self._refuse(answer)
                last = str(answer["message"])
            else:
                at_rest = answer["how"] == "rest"
                self.how = f"at rest in {answer['call']}" if at_rest else "between two bytecodes"
                if answer["page"]:
                    self._pages.append(int(answer["page"]))
                    only_at_rest = True
                patience = deadline - time.monotonic() if at_rest else min(_PATIENCE_S, deadline - time.monotonic())
                if await self._said_hello(patience):
                    self._forget_pages()
                    return
                continue
            if await self._said_hello(min(_PAUSE_S, max(0.0, deadline - time.monotonic()))):
                self.how = self.how or "not told: it was in before the injector could say so"
                self._forget_pages()
                return

    async def _asked(self, deadline: float) -> bool:
        script = self.capture.parent / f"{self._name}.py"
        ran = False
        try:
            self._script_error = await remote_exec.ask(self.target, script, self._code())
            if not self._script_error:
                ran = await self._said_hello(min(remote_exec.PATIENCE_S, deadline - time.monotonic()))
        finally:
            await remote_exec.take_back(self.target, script, ran=ran)
        ran = ran or self._hello.done()  # it may have come to it meanwhile
        self.how = remote_exec.HOW if ran else ""
        return ran

    async def _said_hello(self, seconds: float) -> bool:
        done, _ = await asyncio.wait({self._hello}, timeout=max(0.0, seconds))
        return bool(done)

    def _refuse(self, answer: dict[str, Any]) -> None:
        """Raise where another try cannot help."""
        message = str(answer["message"])
        if answer["failed"] == "gone":
            raise RunFault("ended before memray was attached", place=self._place)
        if answer["failed"] == "refused":
            raise EnvironmentFault(f"may not be traced: {message}", place=self._place, remedy=PTRACE_REMEDY)
        if answer["failed"] == "missing":
            raise EnvironmentFault(message, place=self._place, remedy="use --memray launch")

    def _code(self) -> str:
        return started(f"{attached_source()}\nharness_session({self._name!r}, {str(self.target.side)!r})\n")

    async def _script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """memray's library asks for its script, and reports an error in it."""
        task = asyncio.current_task()
        assert task is not None
        self._talks.append(task)
        try:
            writer.write(self._code().encode())
            writer.write_eof()
            error = (await reader.read()).decode(errors="replace").strip()
            self._script_error = error or self._script_error
        except (OSError, asyncio.CancelledError):  # cancelled by `attach`, which is over
            pass
        finally:
            writer.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The target is in, once. Anybody else on this machine who finds the socket is sent away."""
        credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("iii", credentials)[0] != self.target.pid or self._writer is not None:
            writer.close()
            return
        self._reader, self._writer = reader, writer
        if not self._hello.done():
            self._hello.set_result(None)

    # -- talking -------------------------------------------------------------------------------------------------------

    async def _order(self, expected: str, seconds: float, **order: object) -> dict[str, Any]:
        if self._reader is None or self._writer is None:
            raise RunFault("is not attached", place=self._place)
        try:
            async with asyncio.timeout(max(0.1, seconds)):
                self._writer.write(json.dumps(order).encode() + b"\n")
                await self._writer.drain()
                while line := await self._reader.readline():
                    answer: dict[str, Any] = json.loads(line)
                    if answer["type"] == expected:
                        return answer
                    if answer["type"] == "error":
                        raise RunFault(f"memray failed in it: {answer['message']}", place=self._place)
        except TimeoutError:
            raise RunFault(f"gave no answer to `{order['do']}` in time", place=self._place) from None
        except OSError:
            pass
        raise RunFault(f"is gone: no answer to `{order['do']}`", place=self._place)

    # -- taking back ---------------------------------------------------------------------------------------------------

    async def _undo(self) -> None:
        """Whatever was brought into the target and has not run yet shall do nothing; whatever runs shall end."""
        for page in self._pages:
            with contextlib.suppress(OSError):
                write(self.target.pid, page, b"\0")
        await self._close()

    def _forget_pages(self) -> None:
        """Queued code that has not run by now need not any more."""
        for page in self._pages:
            with contextlib.suppress(OSError):
                write(self.target.pid, page, b"\0")
        self._pages.clear()

    async def _close(self) -> None:
        writer, self._writer, self._reader = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _held(pid: int, tid: int) -> bool:
    """Whether a thread is stopped or traced."""
    try:
        text = Path(f"/proc/{pid}/task/{tid}/status").read_text()
    except OSError:
        return False
    fields = {key: value.strip() for key, _, value in (line.partition(":") for line in text.splitlines())}
    return fields.get("State", "S")[:1] in "Tt" or fields.get("TracerPid", "0") != "0"
