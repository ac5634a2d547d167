"""Lines of an answer that goes on for minutes, each as soon as its bytes are there.

A watch gives events one by one, and on each asyncio's TLS, aiohttp's parser and stream, and the wake-up of a task take ten
times as long as the event itself. `SocketStream` has none of them: when the socket is readable, the bytes are taken from it,
stamped, and handed over in that very call. `ResponseStream` is the same over aiohttp, for connections that only it can make.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

import aiohttp

Take = Callable[[list[bytes], int], None]
"""Takes complete lines without their ends, and the `time.monotonic_ns()` at which the last bytes of them were read."""

_RECORD = 1 << 16
_AT_ONCE = 32
"""TLS records that are read before the event loop goes on with something else."""
_HEAD_BYTES = 1 << 16
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LINE_END = b"\r\n"
_OK = 200


class Stream(Protocol):
    """An open answer."""

    async def read(self, take: Take) -> None:
        """Hand over lines until the server ends the answer. Raises OSError or aiohttp.ClientError where it breaks off, and
        whatever `take` raises."""

    def close(self) -> None:
        """Close the connection; idempotent."""


class Refused(NamedTuple):
    """An answer of another status than 200."""

    status: int
    body: bytes


class Splitter:
    """Cuts what comes in pieces into lines."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that are complete by now; empty ones are left out."""
        lines = piece.split(b"\n")
        if len(lines) == 1:
            self._pending.append(piece)
            return []
        if self._pending:
            self._pending.append(lines[0])
            lines[0] = b"".join(self._pending)
            self._pending = []
        if tail := lines.pop():
            self._pending.append(tail)
        return [line for line in lines if line]


class Chunks:
    """Takes the transfer coding `chunked` off (RFC 9112, 7.1). Trailers are not looked at."""

    def __init__(self) -> None:
        self.over = False
        self._parts: list[bytes] = []
        self._have = 0
        self._need = 0

    def feed(self, data: bytes) -> bytes:
        """What of the content is complete by now. Raises ConnectionError where that is no chunk."""
        self._have += len(data)
        if self._parts or self._have < self._need:
            self._parts.append(data)
            if self._have < self._need:  # in the middle of a large chunk: joining each time would be quadratic
                return b""
            data = b"".join(self._parts)
            self._parts = []
        content, at = list[bytes](), 0
        self._need = 0
        while not self.over and (cut := data.find(_LINE_END, at)) >= 0:
            try:
                size = int(data[at:cut].partition(b";")[0], 16)
            except ValueError:
                raise ConnectionError("the answer is not what its header says: a chunk without a size") from None
            end = cut + 2 + size
            if size and len(data) < end + 2:
                self._need = end + 2 - at
                break
            content.append(data[cut + 2 : end])
            at, self.over = end + 2, size == 0
        rest = b"" if self.over else data[at:]
        self._parts, self._have = [rest] if rest else [], len(rest)
        return content[0] if len(content) == 1 else b"".join(content)


class ResponseStream:
    """`Stream` over an answer of aiohttp."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def read(self, take: Take) -> None:
        """See `Stream`."""
        splitter = Splitter()
        while chunk := await self._response.content.readany():
            received_ns = time.monotonic_ns()
            if lines := splitter.feed(chunk):
                take(lines, received_ns)

    def close(self) -> None:
        """See `Stream`."""
        self._response.close()


class SocketStream:
    """`Stream` over a TLS connection of its own."""

    def __init__(self, connection: ssl.SSLSocket, silence_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._silence_s = silence_s
        self._chunks = Chunks()
        self._splitter = Splitter()
        self._first = (b"", 0)
        self._heard_s = 0.0
        self._take: Take | None = None
        self._ended: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls, host: str, port: int, tls: ssl.SSLContext, request: bytes, *, connect_s: float, silence_s: float
    ) -> Self | Refused | None:
        """Connect within `connect_s`, send the request, read the head of the answer. `silence_s`: the longest silence allowed.

        None where the answer is neither a refusal nor chunked: whoever can read any answer must ask again. Raises OSError.
        """
        async with asyncio.timeout(connect_s):
            stream = cls(await _connected(host, port, tls), silence_s)
        answer: Self | Refused | None = None
        try:
            async with asyncio.timeout(silence_s):  # a server with more than it can do lets requests wait
                await stream._send(request)
                answer = await stream._answer()
        finally:
            if answer is not stream:
                stream.close()
        return answer

    async def read(self, take: Take) -> None:
        """See `Stream`. Raises TimeoutError after `silence_s` without a byte."""
        self._take, self._ended = take, self._loop.create_future()
        self._heard_s = self._loop.time()
        watchdog = self._loop.create_task(self._while_heard(), name="watch-silence")
        try:
            if self._first[0]:
                self._feed(*self._first)
            if self._chunks.over:
                return
            self._loop.add_reader(self._connection, self._readable)
            await self._ended
        finally:
            watchdog.cancel()
            self._loop.remove_reader(self._connection)

    def close(self) -> None:
        """See `Stream`."""
        self._connection.close()

    def _readable(self) -> None:
        """All that is there: first taken and stamped, then looked at, so that no stamp waits for another event's parsing."""
        assert self._ended is not None
        if self._ended.done():
            return
        taken: list[tuple[bytes, int]] = []
        try:
            try:
                while len(taken) < _AT_ONCE:
                    taken.append((self._connection.recv(_RECORD), time.monotonic_ns()))
                    if not taken[-1][0]:
                        break
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            self._heard_s = self._loop.time()
            for data, received_ns in taken:
                if not data:
                    raise ConnectionResetError("the connection ended in the middle of an answer")
                self._feed(data, received_ns)
                if self._chunks.over:
                    self._ended.set_result(None)
                    return
        except Exception as error:  # noqa: BLE001 # of whatever kind: who waits in `read` gets it
            self._ended.set_exception(error)

    def _feed(self, data: bytes, received_ns: int) -> None:
        assert self._take is not None
        if (content := self._chunks.feed(data)) and (lines := self._splitter.feed(content)):
            self._take(lines, received_ns)

    async def _while_heard(self) -> None:
        """A dead connection is silent for ever: the one timer of the stream, not one for each event."""
        assert self._ended is not None
        while (left_s := self._heard_s + self._silence_s - self._loop.time()) > 0:  # noqa: ASYNC110 # events set no event
            await asyncio.sleep(left_s)
        if not self._ended.done():
            self._ended.set_exception(TimeoutError(f"nothing came for {self._silence_s:g} s"))

    async def _answer(self) -> Self | Refused | None:
        """The head of the answer, and what is to be done about it."""
        head = b""
        while (end := head.find(b"\r\n\r\n")) < 0:
            if len(head) > _HEAD_BYTES:
                raise ConnectionError("the head of the answer has no end")
            head += await self._some()
        self._first = head[end + 4 :], time.monotonic_ns()
        found = _HEAD.match(head)
        if found is None:
            return None
        fields = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[:end].splitlines())
        }
        chunked = fields.get(b"transfer-encoding", b"").lower() == b"chunked"
        if int(found[1]) == _OK:
            return self if chunked else None
        body = self._chunks.feed(self._first[0]) if chunked else self._first[0]
        length = int(fields.get(b"content-length", b"-1"))
        while not self._chunks.over if chunked else len(body) < length:
            piece = await self._some()
            body += self._chunks.feed(piece) if chunked else piece
        return Refused(int(found[1]), body)

    async def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._connection.send(data) :]
            except ssl.SSLWantWriteError:
                await _ready(self._connection, writable=True)
            except ssl.SSLWantReadError:
                await _ready(self._connection)

    async def _some(self) -> bytes:
        while True:
            try:
                data = self._connection.recv(_RECORD)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                await _ready(self._connection)
                continue
            if not data:
                raise ConnectionResetError("the connection ended before an answer")
            return data


async def _connected(host: str, port: int, tls: ssl.SSLContext) -> ssl.SSLSocket:
    """A TLS connection that does not block, to the first address of a host that answers."""
    loop = asyncio.get_running_loop()
    failure: OSError = ConnectionError(f"{host} has no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        plain = socket.socket(family, kind, protocol)
        plain.setblocking(False)
        connection: socket.socket = plain
        try:
            await loop.sock_connect(plain, address)
            connection = wrapped = tls.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            await _shake_hands(wrapped)
        except OSError as error:
            failure = error
            connection.close()
        except BaseException:
            connection.close()
            raise
        else:
            return wrapped
    raise failure


async def _shake_hands(connection: ssl.SSLSocket) -> None:
    while True:
        try:
            connection.do_handshake()
        except ssl.SSLWantReadError:
            await _ready(connection)
        except ssl.SSLWantWriteError:
            await _ready(connection, writable=True)
        else:
            return


async def _ready(connection: socket.socket, *, writable: bool = False) -> None:
    """Until a socket can be read from, or written to."""
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writable else (loop.add_reader, loop.remove_reader)
    add(connection, lambda: None if future.done() else future.set_result(None))
    try:
        await future
    finally:
        remove(connection)
