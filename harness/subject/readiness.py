"""Waiting until a subject is ready."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

import aiohttp

from harness.core.errors import UsageError

POLL_S = 0.05
TRY_LIMIT_S = 2.0
"""For one request: a subject that is busy starting may accept a connection and not answer it."""
ALIVE_S = 1.0
"""A subject without a readiness URL counts as ready when it has lived this long."""


@dataclass(frozen=True, slots=True)
class Ready:
    """How readiness is told: `http` answers with a 2xx status. Without it, by still being alive."""

    http: str | None = None


class Watch:
    """Asks a readiness URL; remembers the last answer for the message when it never comes."""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"readiness URL {url!r} is not http:// or https://")
        self.url = url
        self.last = "no answer yet"

    async def until_ready(self) -> None:
        """Return once the URL has answered with 2xx. The caller sets the deadline."""
        # A controller serves its probes with a certificate it made itself; nothing secret is sent or believed here.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        timeout = aiohttp.ClientTimeout(total=TRY_LIMIT_S)
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False, connector=connector) as session:
            while True:
                if await self._ask(session):
                    return
                await asyncio.sleep(POLL_S)

    async def _ask(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self.url, allow_redirects=False) as response:
                self.last = f"HTTP status {response.status}"
                return 200 <= response.status < 300
        except TimeoutError:
            self.last = f"no answer within {TRY_LIMIT_S:g} s"
        except aiohttp.ClientError as error:
            self.last = str(error) or type(error).__name__
        return False
