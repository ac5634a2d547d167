"""A reverse proxy in front of the API server that keeps what the subject asked for and how many bytes came back.

The audit log tells neither the media type of a watch nor its bytes. What passes is not changed.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

_HOP = {"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"}


@dataclass(slots=True)
class Seen:
    """One request and its answer."""

    method: str
    path: str
    query: dict[str, str]
    accept: str
    status: int = 0
    bytes: int = 0
    at: float = field(default_factory=time.monotonic)
    agent: str = ""
    """What the client calls itself."""


class RecordingProxy:
    """`requests` grows while the subject works."""

    def __init__(self, kubeconfig: Path, hold: Mapping[str, asyncio.Event] | None = None) -> None:
        """`hold`: requests with that parameter in their query wait for the event."""
        self._hold = hold or {}
        config = yaml.safe_load(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.requests: list[Seen] = []
        self.before: Callable[[Seen], Awaitable[None]] | None = None
        """Called with each request before it is passed on."""
        self._config = config
        self._server = cluster["server"]
        self._ssl = ssl.create_default_context(cafile=cluster["certificate-authority"])
        self._ssl.load_cert_chain(user["client-certificate"], user["client-key"])

    @asynccontextmanager
    async def serving(self, kubeconfig: Path) -> AsyncIterator[None]:
        """Listen, and write a kubeconfig that leads here, without credentials."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._pass)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False, auto_decompress=False) as self._session:
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                host, port = runner.addresses[0][:2]
                config: dict[str, Any] = {**self._config, "users": [{"name": "none", "user": {}}]}
                config["clusters"] = [{"name": "proxy", "cluster": {"server": f"http://{host}:{port}"}}]
                config["contexts"] = [{"name": "proxy", "context": {"cluster": "proxy", "user": "none"}}]
                config["current-context"] = "proxy"
                kubeconfig.write_text(yaml.safe_dump(config))  # noqa: ASYNC240 # a kilobyte, before anything is measured
                yield
            finally:
                await runner.cleanup()

    def of(self, resource: str) -> Iterator[Seen]:
        """Requests for a collection or an object of `resource`."""
        return (seen for seen in self.requests if f"/{resource}" in seen.path)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(request.method, request.path, dict(request.query), request.headers.get("Accept", ""))
        seen.agent = request.headers.get("User-Agent", "")
        self.requests.append(seen)
        if self.before is not None:
            await self.before(seen)
        for name, event in self._hold.items():
            if name in seen.query:
                await event.wait()
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        async with self._session.request(
            request.method,
            self._server + request.path_qs,
            headers=headers,
            data=await request.read() or None,
            ssl=self._ssl,
        ) as answer:
            seen.status = answer.status
            response = web.StreamResponse(status=answer.status)
            response.headers.update({k: v for k, v in answer.headers.items() if k.lower() not in _HOP})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                seen.bytes += len(chunk)
                await response.write(chunk)
            return response
