"""The HTTP side of a controller: /metrics, /healthz, /readyz."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from aiohttp import web
from prometheus_client import generate_latest

from harness.controllers.runtime.manager import Follower
from harness.controllers.runtime.metrics import Metrics


class Server:
    """Serves on host and port, or on a Unix socket, while the context lasts. Raises OSError where that cannot be bound."""

    def __init__(
        self, address: tuple[str, int] | Path, metrics: Metrics, informers: Callable[[], Sequence[Follower]]
    ) -> None:
        self._address = address
        self._metrics, self._informers = metrics, informers
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/metrics", self._serve_metrics)
        app.router.add_get("/healthz", self._serve_health)
        app.router.add_get("/readyz", self._serve_ready)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        if isinstance(self._address, Path):
            await web.UnixSite(self._runner, str(self._address)).start()
        else:
            await web.TCPSite(self._runner, *self._address).start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._runner:
            await self._runner.cleanup()

    async def _serve_metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _serve_health(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _serve_ready(self, _: web.Request) -> web.Response:
        informers = self._informers()
        missing = [str(informer.resource) for informer in informers if not informer.synced.is_set()]
        if missing or not informers:
            return web.Response(status=503, text=f"waiting for the first list of: {', '.join(missing) or 'all'}\n")
        return web.Response(text="ok\n")
