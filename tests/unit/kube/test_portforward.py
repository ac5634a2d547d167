"""Port-forward against a server that speaks the API server's WebSocket protocol, written for the test: it echoes in capitals."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import WSMsgType, web

from harness.core.errors import EnvironmentFault
from harness.kube.api import Api
from harness.kube.portforward import PROTOCOL, PortForward
from harness.process.ports import claim_port

PATH = "/api/v1/namespaces/ns/pods/subject-0/portforward"


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Channel 0 is data, channel 1 errors; each begins with the port, which may come apart from the data."""
    socket = web.WebSocketResponse(protocols=(PROTOCOL,))
    await socket.prepare(request)
    port = struct.pack("<H", int(request.query["ports"]))
    await socket.send_bytes(b"\x00" + port[:1])
    await socket.send_bytes(b"\x00" + port[1:])
    await socket.send_bytes(b"\x01" + port)
    async for message in socket:
        assert message.type is WSMsgType.BINARY
        assert message.data[0] == 0
        if message.data[1:] == b"break\n":
            await socket.send_bytes(b"\x01connection refused in the pod")
            continue
        await socket.send_bytes(b"\x00" + message.data[1:].upper())
    return socket


async def refuse(_: web.Request) -> web.Response:
    return web.json_response({"kind": "Status", "message": "pod is not running"}, status=400)


async def version(_: web.Request) -> web.Response:
    return web.json_response({"gitVersion": "v1"})


def forwarded(
    tmp_path: Path,
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    use: Callable[[PortForward, int], Awaitable[None]],
) -> None:
    async def main() -> None:
        app = web.Application()
        app.router.add_get(PATH, handler)
        app.router.add_get("/version", version)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", claim_port())
        await site.start()
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(
            f"apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{site.name}'}}}}]\n"
            "users: [{name: u, user: {}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
        )
        try:
            async with await Api.connect(kubeconfig) as api:
                forward, port = PortForward(api, "ns", "subject-0"), claim_port()
                await forward.listen([port])
                try:
                    async with asyncio.timeout(20):
                        await use(forward, port)
                finally:
                    await forward.close()
                with pytest.raises(OSError):
                    await asyncio.open_connection("127.0.0.1", port)
        finally:
            await runner.cleanup()

    asyncio.run(main())


def test_connections_go_through_each_for_itself(tmp_path: Path) -> None:
    async def use(forward: PortForward, port: int) -> None:
        first, second = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for (reader, writer), text in ((first, b"one\n"), (second, b"two\n"), (first, b"three\n")):
            writer.write(text)
            assert await reader.readline() == text.upper()
        large = b"x" * (3 << 20) + b"\n"
        first[1].write(large)
        answer = b""
        while not answer.endswith(b"\n"):
            answer += await first[0].read(1 << 16)
        assert answer == large.upper()
        for _, writer in (first, second):
            writer.close()
        assert forward.failure is None

    forwarded(tmp_path, echo, use)


def test_an_error_in_the_pod_ends_the_connection(tmp_path: Path) -> None:
    async def use(_: PortForward, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"break\n")
        assert await reader.read() == b""
        writer.close()

    forwarded(tmp_path, echo, use)


def test_a_pod_that_does_not_run_ends_the_connection_and_says_why(tmp_path: Path) -> None:
    async def use(forward: PortForward, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await reader.read() == b""
        writer.close()
        assert forward.failure is not None
        assert "400" in forward.failure

    forwarded(tmp_path, refuse, use)


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    async def use(forward: PortForward, port: int) -> None:
        with pytest.raises(EnvironmentFault, match="cannot listen for the subject"):
            await PortForward(forward._api, "ns", "other").listen([port])

    forwarded(tmp_path, echo, use)
