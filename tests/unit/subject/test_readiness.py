"""Waiting for a readiness URL, against a real server on loopback."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiohttp import web

from harness.core.errors import UsageError
from harness.process.ports import claim_port
from harness.subject.readiness import HttpWatch


async def serve(port: int, statuses: list[int]) -> web.AppRunner:
    """Answers with each status in turn, then with the last."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=statuses.pop(0) if len(statuses) > 1 else statuses[0])

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def test_ready_only_with_a_2xx_answer() -> None:
    async def body() -> None:
        port = claim_port()
        watch = HttpWatch(f"http://127.0.0.1:{port}/healthz")
        waiting = asyncio.create_task(watch.until_ready())
        await asyncio.sleep(0.1)  # nobody listens yet
        assert not waiting.done()
        assert "Cannot connect" in watch.last
        statuses = [503, 302, 204]
        runner = await serve(port, statuses)
        async with asyncio.timeout(10):
            await waiting
        assert statuses == [204]
        assert watch.last == "HTTP status 204"
        await runner.cleanup()

    asyncio.run(body())


def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.subject.readiness.TRY_LIMIT_S", 0.05)

    async def body(url: str) -> None:
        watch = HttpWatch(url)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(watch.until_ready(), 0.3)
        assert watch.last == "no answer within 0.05 s"

    with socket.socket() as silent:  # connections wait in its queue for ever
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        asyncio.run(body(f"http://127.0.0.1:{silent.getsockname()[1]}/healthz"))


def test_other_schemes() -> None:
    with pytest.raises(UsageError, match="readiness URL 'tcp://x' is not"):
        HttpWatch("tcp://x")
