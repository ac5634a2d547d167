"""The site of `harness serve` in a thread, asked over its socket as a browser would, or as somebody worse."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from aiohttp import web

from harness.web import server
from harness.web.app import Site
from harness.web.library import Library

_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()


class Served:
    """A site over `runs` while the context lasts."""

    def __init__(self, runs: Path, history: Path) -> None:
        self._given = runs, history
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.site, self._runner = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(_WAIT_S)
        self.address = server.address_of(self._runner)
        self.port = self._runner.addresses[0][1]
        return self

    async def _start(self) -> tuple[Site, web.AppRunner]:
        site = Site(Library(self._given[0]), self._given[1])
        return site, await server.start(site, 0)

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.site.closing.set)
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(_WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_WAIT_S)
        self._loop.close()

    def get(self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET") -> Answer:
        """What comes back for this very path, which nothing makes tidy on the way."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_WAIT_S)
        try:
            given = {"Host": f"127.0.0.1:{self.port}", **(headers or {})}
            connection.putrequest(method, path, skip_host=True)
            for name, value in given.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def events(self, path: str) -> Iterator[tuple[str, str]]:
        """The server-sent events of a path, until the server ends them."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_WAIT_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            kind = ""
            while line := response.readline().decode():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ").strip()
                elif line.startswith("data: "):
                    yield kind, line.removeprefix("data: ").strip()
        finally:
            connection.close()
