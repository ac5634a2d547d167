"""The two ways to be somebody to an API server: by files, as in every kubeconfig that the harness writes, or by anything else.

The official client (`kubernetes.aio`) knows exec plugins, inline data, proxies and more, and costs 0.25 s of CPU and 10 MiB
to import. A run on the harness's own cluster needs none of it: a certificate or a token from files and one pool of connections.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from harness.kube.kubeconfig import ClientFiles

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient

_READ_BUFFER = 2**21
"""Of a connection: events of a watch are longer than aiohttp's default."""
_TOKEN_S = 10.0
"""How long a token that was read is used: its file is replaced before it expires."""

_CLUSTER = {"server", "certificate-authority"}
_USERS: tuple[set[str], ...] = ({"client-certificate", "client-key"}, {"tokenFile"})


class Client(Protocol):
    """Sends requests as one identity."""

    server: str

    @property
    def tls(self) -> ssl.SSLContext | None:
        """With which a connection of one's own can be made, given the credentials; None: only `send` can."""

    async def credentials(self) -> dict[str, str]:
        """Headers that say who asks."""

    async def session(self) -> aiohttp.ClientSession:
        """The pool of connections."""

    async def send(
        self, method: str, url: str, headers: dict[str, str], body: object, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """One request; `body` is sent as JSON."""

    async def close(self) -> None:
        """Close all connections."""


def by_files(document: Mapping[str, Any], base: Path) -> ClientFiles | None:
    """What a kubeconfig of that plain form holds, paths relative to `base`; None for any other form, and for what is broken."""
    try:
        (context,) = [item["context"] for item in document["contexts"] if item["name"] == document["current-context"]]
        (cluster,) = [item["cluster"] for item in document["clusters"] if item["name"] == context["cluster"]]
        (user,) = [item["user"] for item in document["users"] if item["name"] == context["user"]]
        if set(cluster) != _CLUSTER or set(user) not in _USERS or not cluster["server"].startswith("https://"):
            return None
        named = {key: base / value for key, value in {**cluster, **user}.items() if key != "server"}
        return ClientFiles(
            server=cluster["server"].rstrip("/"),
            ca_file=named["certificate-authority"],
            cert_file=named.get("client-certificate"),
            key_file=named.get("client-key"),
            token_file=named.get("tokenFile"),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


class FilesClient:
    """Implements `Client` with nothing but aiohttp."""

    def __init__(self, files: ClientFiles) -> None:
        """Raises OSError or ValueError (ssl.SSLError is one) where the files cannot be used."""
        self.server = files.server
        self._tls = ssl.create_default_context(cafile=files.ca_file)
        if files.cert_file is not None:
            self._tls.load_cert_chain(files.cert_file, files.key_file)
        self._token_file = files.token_file
        self._token = ""
        self._read_at: float | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def tls(self) -> ssl.SSLContext | None:
        """See `Client`."""
        return self._tls

    async def credentials(self) -> dict[str, str]:
        """See `Client`."""
        if self._token_file is None:
            return {}
        now = time.monotonic()
        if self._read_at is None or now - self._read_at > _TOKEN_S:
            self._token, self._read_at = self._token_file.read_text(encoding="utf-8").strip(), now
        return {"authorization": f"Bearer {self._token}"}

    async def session(self) -> aiohttp.ClientSession:
        """See `Client`."""
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ssl=self._tls)  # every watch holds a connection: no limit
            self._session = aiohttp.ClientSession(connector=connector, trust_env=False, read_bufsize=_READ_BUFFER)
        return self._session

    async def send(
        self, method: str, url: str, headers: dict[str, str], body: object, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """See `Client`."""
        data = None if body is None else json.dumps(body)
        return await (await self.session()).request(method, url, headers=headers, data=data, timeout=timeout)

    async def close(self) -> None:
        """See `Client`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class OfficialClient:
    """Implements `Client` by the official one."""

    def __init__(self, client: ApiClient) -> None:
        self.server: str = client.configuration.host
        self._client = client

    @property
    def tls(self) -> ssl.SSLContext | None:
        """See `Client`."""
        return None

    async def credentials(self) -> dict[str, str]:
        """See `Client`."""
        settings = (await self._client.configuration.auth_settings()).values()
        return {setting["key"]: setting["value"] for setting in settings if setting["value"]}

    async def session(self) -> aiohttp.ClientSession:
        """See `Client`. The official client makes it with the first request."""
        if self._client.rest_client.pool_manager is None:
            headers = {"User-Agent": "harness", **await self.credentials()}
            timeout = aiohttp.ClientTimeout(total=_TOKEN_S)
            (await self.send("GET", f"{self.server}/version", headers, None, timeout)).close()
        session: aiohttp.ClientSession = self._client.rest_client.pool_manager
        return session

    async def send(
        self, method: str, url: str, headers: dict[str, str], body: object, timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """See `Client`."""
        answer = await self._client.call_api(method, url, header_params=headers, body=body, _request_timeout=timeout)
        response: aiohttp.ClientResponse = answer.response
        return response

    async def close(self) -> None:
        """See `Client`."""
        await self._client.close()
