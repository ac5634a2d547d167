"""A FAKE API server for unit tests of the informer and the status writer: one collection of ConfigMaps over plain HTTP.

It does what a test scripts: hands out pages, holds watches open, ends them, forgets old versions (410). It validates
nothing and is no evidence of how Kubernetes behaves; tests/integration has the real one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from harness.controllers.runtime.client import Api
from harness.controllers.runtime.resources import Resource

CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps")


class FakeApi:
    """The collection, its history, and a log of what was asked."""

    def __init__(self) -> None:
        self.version = 100
        self.objects: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[int, str, dict[str, Any]]] = []
        self.oldest = 0
        """Watches from versions before this one are answered with 410."""
        self.failures: list[int] = []
        """Status codes with which the next requests are answered."""
        self.requests: list[tuple[str, dict[str, str], str]] = []
        """(`list`, `watch` or method, query, Accept)"""
        self.patches: list[dict[str, Any]] = []
        self._watchers: list[asyncio.Queue[bytes | None]] = []

    def change(self, type_: str, name: str, **fields: Any) -> dict[str, Any]:
        """ADDED, MODIFIED or DELETED, as a watch sees it."""
        self.version += 1
        old = self.objects.get(name)
        uid = old["metadata"]["uid"] if old and type_ != "ADDED" else f"uid-{self.version}"
        obj = {
            "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(self.version)},
            **fields,
        }
        if type_ == "DELETED":
            del self.objects[name]
        else:
            self.objects[name] = obj
        self.history.append((self.version, type_, obj))
        self.send(type_, obj)
        return obj

    def send(self, type_: str, obj: dict[str, Any]) -> None:
        """One line to every open watch."""
        for watcher in self._watchers:
            watcher.put_nowait(json.dumps({"type": type_, "object": obj}).encode() + b"\n")

    def end_watches(self) -> None:
        """Close every open watch."""
        for watcher in self._watchers:
            watcher.put_nowait(None)

    def asked(self, what: str) -> list[dict[str, str]]:
        """Queries of the requests of one sort."""
        return [query for sort, query, _ in self.requests if sort == what]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        sort = "watch" if "watch" in query else "list" if request.method == "GET" else request.method
        self.requests.append((sort, query, request.headers.get("Accept", "")))
        if self.failures:
            return _status(self.failures.pop(0))
        if sort == "list":
            return self._list(query)
        if sort == "watch":
            return await self._watch(request, int(query["resourceVersion"]))
        return self._patch(request.match_info["name"], await request.json())

    def _list(self, query: dict[str, str]) -> web.Response:
        begin, limit = int(query.get("continue", 0)), int(query["limit"])
        items = list(self.objects.values())
        metadata = {"resourceVersion": str(self.version)}
        if begin + limit < len(items):
            metadata["continue"] = str(begin + limit)
        return web.json_response({"kind": "List", "metadata": metadata, "items": items[begin : begin + limit] or None})

    async def _watch(self, request: web.Request, version: int) -> web.StreamResponse:
        if version < self.oldest:
            return _status(410)
        lines: asyncio.Queue[bytes | None] = asyncio.Queue()
        for at, type_, obj in self.history:
            if at > version:
                lines.put_nowait(json.dumps({"type": type_, "object": obj}).encode() + b"\n")
        self._watchers.append(lines)
        response = web.StreamResponse()
        await response.prepare(request)
        ended = False
        while not ended and (block := await lines.get()) is not None:
            while not ended and not lines.empty():
                line = lines.get_nowait()
                ended = line is None
                block += line or b""
            for begin in range(0, len(block), 100):  # cut anywhere: within a line, and across the end of one
                await response.write(block[begin : begin + 100])
                await asyncio.sleep(0.001)
        self._watchers.remove(lines)
        return response

    def _patch(self, name: str, patch: dict[str, Any]) -> web.Response:
        self.patches.append(patch)
        obj = self.objects[name]
        status = {**obj.get("status", {}), **patch.get("status", {})}
        status = {key: value for key, value in status.items() if value is not None}
        if status != obj.get("status", {}):
            self.version += 1
            metadata = {**obj["metadata"], "resourceVersion": str(self.version)}
            self.objects[name] = {**obj, "metadata": metadata, "status": status}
        return web.json_response(self.objects[name])


def _status(code: int) -> web.Response:
    return web.json_response({"kind": "Status", "code": code, "reason": "Scripted", "message": "by test"}, status=code)


@asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[tuple[FakeApi, Api]]:
    """The fake on a free loopback port, and a client of it."""
    fake = FakeApi()
    app = web.Application()
    app.router.add_get("/api/v1/configmaps", fake.handle)
    app.router.add_patch("/api/v1/namespaces/ns/configmaps/{name}/status", fake.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    kubeconfig = directory / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": f"http://{host}:{port}"}}],
        "users": [{"name": "fake", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    }
    kubeconfig.write_text(json.dumps(document))
    kubeconfig.chmod(0o600)
    try:
        async with await Api.from_kubeconfig(kubeconfig) as api:
            yield fake, api
    finally:
        fake.end_watches()
        await runner.cleanup()
