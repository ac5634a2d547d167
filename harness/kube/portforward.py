"""Loopback ports that lead into a pod, as `kubectl port-forward` makes them, over the API server's WebSockets.

Connections end inside the pod's own network, so servers that listen on the pod's loopback only are reached too, and
nothing need be installed in its image. Each TCP connection is one WebSocket with two channels, data and errors.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

import aiohttp

from harness.core.errors import EnvironmentFault
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable

PROTOCOL = "v4.channel.k8s.io"
_DATA, _ERROR = 0, 1
_CHUNK = 1 << 16
_PORT_BYTES = 2
"""Each channel begins with the number of its port."""


class PortForward:
    """Listens on 127.0.0.1 at the same numbers as the pod does; `close` it in a `finally`."""

    def __init__(self, api: Api, namespace: str, pod: str) -> None:
        self._api = api
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward"
        self._servers: dict[int, asyncio.Server] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.failure: str | None = None
        """Why the newest connection could not be made; None where it could."""

    async def listen(self, ports: Iterable[int]) -> None:
        """Begin to listen. Raises EnvironmentFault for a port that is taken."""
        for port in ports:
            try:
                self._servers[port] = await asyncio.start_server(self._accept(port), "127.0.0.1", port)
            except OSError as error:
                await self.close()
                raise EnvironmentFault(
                    f"cannot listen for the subject: {error.strerror}", place=f"127.0.0.1:{port}"
                ) from error

    async def close(self) -> None:
        """Stop listening and cut all connections; again is harmless."""
        servers, self._servers = self._servers, {}
        for server in servers.values():
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, port: int):  # type: ignore[no-untyped-def] # noqa: ANN202 # asyncio's own callback type
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._relay(port, reader, writer)
                self.failure = None
            except (ApiError, ApiUnreachable) as error:
                self.failure = str(error)
            except (OSError, aiohttp.ClientError, asyncio.CancelledError):
                pass  # the subject, or whoever asked it, went away
            finally:
                self._tasks.discard(task)
                writer.close()

        return serve

    async def _relay(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        socket = await self._api.transport.websocket(self._path, {"ports": port}, PROTOCOL)
        try:
            sending = asyncio.create_task(_send(socket, reader))
            receiving = asyncio.create_task(_receive(socket, writer))
            try:
                await asyncio.wait({sending, receiving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, receiving):
                    task.cancel()
                await asyncio.gather(sending, receiving, return_exceptions=True)
        finally:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                await socket.close()


async def _send(socket: aiohttp.ClientWebSocketResponse, reader: asyncio.StreamReader) -> None:
    while data := await reader.read(_CHUNK):
        await socket.send_bytes(bytes((_DATA,)) + data)


async def _receive(socket: aiohttp.ClientWebSocketResponse, writer: asyncio.StreamWriter) -> None:
    expected = {_DATA: _PORT_BYTES, _ERROR: _PORT_BYTES}  # bytes of each channel that are its port
    async for message in socket:
        if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
            continue
        channel, data = message.data[0], message.data[1:]
        skipped = min(expected.get(channel, 0), len(data))
        if skipped:
            expected[channel] -= skipped
            data = data[skipped:]
        if channel == _ERROR and data:
            return  # nothing listens there, or the container is gone
        if channel == _DATA and data:
            writer.write(data)
            await writer.drain()
