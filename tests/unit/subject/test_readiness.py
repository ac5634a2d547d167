"""Waiting for a readiness URL, against a real server on loopback."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from aiohttp import web

from harness.core.errors import UsageError
from harness.process.ports import claim_port
from harness.subject.readiness import HttpWatch, LeaseWatch, LogWatch, MetricWatch, Watch


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


async def told(watch: Watch, words: str) -> None:
    """Wait until it has looked and says so."""
    async with asyncio.timeout(10):
        while words not in watch.last:  # noqa: ASYNC110 # it tells nobody
            await asyncio.sleep(0.01)


def test_ready_only_with_a_2xx_answer() -> None:
    async def body() -> None:
        port = claim_port()
        watch = HttpWatch(f"http://127.0.0.1:{port}/healthz")
        waiting = asyncio.create_task(watch.until_ready())
        await told(watch, "Cannot connect")  # nobody listens yet
        assert not waiting.done()
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
        waiting = asyncio.create_task(watch.until_ready())
        await told(watch, "no answer within 0.05 s")
        assert not waiting.done()
        waiting.cancel()

    with socket.socket() as silent:  # connections wait in its queue for ever
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        asyncio.run(body(f"http://127.0.0.1:{silent.getsockname()[1]}/healthz"))


def test_other_schemes() -> None:
    with pytest.raises(UsageError, match="readiness URL 'tcp://x' is not"):
        HttpWatch("tcp://x")


def test_a_line_of_the_log(tmp_path: Path) -> None:
    async def body() -> None:
        log = tmp_path / "subject.log"
        log.write_text("serving on 1\n")
        watch = LogWatch(log, log.stat().st_size, r"^serving on \d+$")
        waiting = asyncio.create_task(watch.until_ready())
        await asyncio.sleep(0.15)
        assert not waiting.done()  # that line was an earlier incarnation's
        with log.open("a") as file:
            file.write("warming up\nserving on 2")
            file.flush()
            await told(watch, "no line matches yet")
            assert not waiting.done()  # half a line
            file.write("\n")
        async with asyncio.timeout(10):
            await waiting

    asyncio.run(body())


def test_a_metric() -> None:
    async def body() -> None:
        pages = [
            "up 1\n",
            'workqueue_depth{name="a"} 1\nworkqueue_depth{name="b"} 1\n',
            'workqueue_depth{name="a"} 3\n',
        ]

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(text=pages[0])

        app = web.Application()
        app.router.add_get("/metrics", metrics)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/metrics"
        watch = MetricWatch(url, "workqueue_depth", 3)
        waiting = asyncio.create_task(watch.until_ready())
        async with asyncio.timeout(20):
            for said in ("there is no such sample", "it is 2"):
                while watch.last != said:
                    assert not waiting.done()
                    await asyncio.sleep(0.02)
                pages.pop(0)
            await waiting
        await runner.cleanup()

    asyncio.run(body())


def test_a_lease_that_is_held(tmp_path: Path) -> None:
    async def body() -> None:
        answers: list[tuple[int, object]] = [
            (404, {"kind": "Status", "message": "not found", "reason": "NotFound"}),
            (200, {"metadata": {}, "spec": {}}),
            (200, {"metadata": {}, "spec": {"holderIdentity": "me"}}),
        ]
        asked = []

        async def lease(request: web.Request) -> web.Response:
            asked.append(request.path)
            status, answer = answers[0]
            return web.json_response(answer, status=status)

        app = web.Application()
        app.router.add_get("/{path:.*}", lease)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        config = tmp_path / "config"
        config.write_text(
            f"{{clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{runner.addresses[0][1]}'}}}}], "
            "users: [{name: u, user: {}}], contexts: [{name: x, context: {cluster: c, user: u}}], current-context: x}"
        )
        watch = LeaseWatch(config, "run-x", "leader")
        waiting = asyncio.create_task(watch.until_ready())
        async with asyncio.timeout(20):
            for said in ("it does not exist", "nobody holds it"):
                while watch.last != said:
                    assert not waiting.done()
                    await asyncio.sleep(0.02)
                answers.pop(0)
            await waiting
        assert set(asked) == {"/apis/coordination.k8s.io/v1/namespaces/run-x/leases/leader"}
        await runner.cleanup()

    asyncio.run(body())
