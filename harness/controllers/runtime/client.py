"""The Kubernetes API over the official `kubernetes.aio` client, with plain JSON in and out.

The client gives configuration, credentials, TLS and transport. Its generated models are left aside: they are pydantic,
and cost several times the memory and time of the JSON they are made from.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import aiohttp
import yaml
from kubernetes.aio import config as kube_config
from kubernetes.aio.client import ApiClient, Configuration
from yarl import URL

from harness.controllers.runtime.resources import Object
from harness.controllers.runtime.throttle import Throttle

REQUEST_TIMEOUT_S = 30.0
"""Of one request, connecting included."""
READ_BUFFER_BYTES = 2**16
"""Of one connection: a watch that lags must hold back the server, not fill our memory."""
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
"""What is sent under it is JSON, which is YAML."""
THROTTLED_TRIES = 10
"""client-go's: how often an answer 429 or 503 with Retry-After is waited for before it becomes an error."""

OnResponse = Callable[[int, str], None]


class ConfigError(Exception):
    """The kubeconfig cannot be used; the text is one sentence for people."""


class ApiError(Exception):
    """An answer of the API server that is not a success. `reason` is Kubernetes' own, such as `AlreadyExists`."""

    def __init__(self, method: str, path: str, status: int, reason: str, message: str) -> None:
        super().__init__(f"{method} {path}: {status} {reason}: {message}"[:500])
        self.status = status
        self.reason = reason


class ObjectGoneError(Exception):
    """The object that was to be written is not there any more; its deletion will be, or was, an event of its own."""


class ConflictError(Exception):
    """Somebody else wrote the object since it was read; what is to be written must be made anew."""


class Api:
    """One identity on one API server. Use as an async context manager."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self.on_response: OnResponse | None = None
        """Told the status (0: none came) and method of each answer."""
        self.throttle: Throttle | None = None
        """Waited for before each request, watches included; None: no limit of our own."""
        self._base: str = client.configuration.host.rstrip("/")
        self.host = urlsplit(self._base).netloc

    @classmethod
    async def from_kubeconfig(cls, path: Path) -> Self:
        """A client for the current context of the kubeconfig at `path`. Raises ConfigError."""
        configuration = Configuration()
        configuration.proxy = None
        # The environment has no say in where this client connects and whom it trusts.
        configuration.client_session_kwargs = {"trust_env": False, "read_bufsize": READ_BUFFER_BYTES}
        # The client writes inline credentials to files; they are read when the TLS context is made, and then deleted:
        # a controller that is killed leaves no key behind.
        with tempfile.TemporaryDirectory(prefix="controller-credentials-") as scratch:
            try:
                with path.open("rb"):  # the client would take a file that is not there for an empty one
                    pass
                await kube_config.load_kube_config(
                    config_file=str(path),
                    client_configuration=configuration,
                    persist_config=False,
                    temp_file_path=scratch,
                )
                client = ApiClient(configuration)
            except (kube_config.ConfigException, yaml.YAMLError, OSError, ValueError) as error:
                raise ConfigError(f"kubeconfig {path} cannot be used: {' '.join(str(error).split())}") from error
        client.user_agent = "controller-harness-reference"
        return cls(client)

    def call_itself(self, part: str) -> None:
        """Tell the server, in each request, which part of a program this is."""
        self._client.user_agent = f"controller-harness-reference/{part}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._client.close()

    async def get(self, path: str, query: Mapping[str, str] | None = None, accept: str | None = None) -> Object:
        """GET of an object or a list. Raises ApiError, OSError or aiohttp.ClientError, TimeoutError."""
        return await self._request("GET", path, query=query, accept=accept)

    async def create(self, path: str, obj: Object) -> Object:
        """POST to a collection; the created object. Raises as `get`."""
        return await self._request("POST", path, body=obj)

    async def update(self, path: str, obj: Object) -> Object:
        """PUT of a whole object; its resourceVersion must be the newest, else ApiError 409. Raises as `get`."""
        return await self._request("PUT", path, body=obj)

    async def merge_patch(self, path: str, patch: Mapping[str, Any]) -> Object:
        """JSON merge patch; the object afterwards. An empty patch is sent too. Raises as `get`."""
        return await self._request("PATCH", path, body=patch, content_type=MERGE_PATCH)

    async def apply(self, path: str, obj: Object, manager: str) -> Object:
        """Server-side apply as `manager`, which takes over fields of others; the object afterwards. Raises as `get`."""
        query = {"fieldManager": manager, "force": "true"}
        return await self._request("PATCH", path, query=query, body=obj, content_type=APPLY_PATCH)

    async def delete(self, path: str, *, uid: str | None = None) -> None:
        """DELETE; an object that is gone already, or is another one by now (`uid`), is a success. Raises as `get`."""
        body = {"preconditions": {"uid": uid}} if uid else {}
        try:
            await self._request("DELETE", path, body=body)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, accept: str, total_s: float, idle_s: float
    ) -> AsyncIterator[aiohttp.StreamReader]:
        """GET whose body is read as it comes; it ends after `total_s` at the latest, or `idle_s` without a byte."""
        timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=REQUEST_TIMEOUT_S, sock_read=idle_s)
        async with asyncio.timeout(REQUEST_TIMEOUT_S):  # until the headers; the body has its own deadlines
            response = await self._send("GET", path, query, None, None, accept, timeout)
        try:
            if response.status >= 400:
                raise _error("GET", path, response.status, await response.read())
            yield response.content
        finally:
            response.close()  # never back into the pool: the body may not be at its end

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
        accept: str | None = None,
    ) -> Object:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        for tries_left in reversed(range(THROTTLED_TRIES)):
            response = await self._send(method, path, query, body, content_type, accept, timeout)
            async with response:
                data = await response.read()
            retry_after = response.headers.get("Retry-After", "")
            if response.status in (429, 503) and retry_after.isdigit() and tries_left:
                await asyncio.sleep(min(float(retry_after), REQUEST_TIMEOUT_S))
                continue
            break
        if response.status >= 400:
            raise _error(method, path, response.status, data)
        answer: Object = json.loads(data)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        content_type: str | None,
        accept: str | None,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        headers = {**self._client.default_headers, "Accept": accept or "application/json"}
        if content_type:
            headers["Content-Type"] = content_type
        parameters: list[tuple[str, str]] = list((query or {}).items())
        # Bearer tokens, refreshed by the client where the kubeconfig says how.
        await self._client.update_params_for_auth(headers, parameters, ["BearerToken"], path, method, body)
        if self.throttle is not None:
            await self.throttle.wait()
        url = self._base + path
        if parameters:
            url += "?" + urlencode(parameters, quote_via=quote)
        try:
            answer = await self._client.call_api(
                method, URL(url, encoded=True), headers, body=body, _request_timeout=timeout
            )
        except (aiohttp.ClientError, OSError):
            if self.on_response:
                self.on_response(0, method)
            raise
        response: aiohttp.ClientResponse = answer.response
        if self.on_response:
            self.on_response(response.status, method)
        return response


def _error(method: str, path: str, status: int, data: bytes) -> ApiError:
    try:
        parsed = json.loads(data)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and parsed.get("kind") == "Status":
        return ApiError(method, path, status, str(parsed.get("reason", "")), str(parsed.get("message", "")))
    return ApiError(method, path, status, "", data[:200].decode(errors="replace"))
