"""One connection pool to one API server, and the requests that go through it.

Credentials and TLS come from files where the kubeconfig names some, else from the official client (`kubernetes.aio`). Bodies
stay raw JSON, because its models cost three times the time and a hundred megabytes on large lists. Proxies of the environment
are ignored, and a kubeconfig's own CA is the only one trusted, whatever REQUESTS_CA_BUNDLE or SSL_CERT_FILE say.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack
from urllib.parse import urlencode, urlsplit

import aiohttp

from harness.core.errors import EnvironmentFault, UsageError
from harness.kube.client import Client, FilesClient, OfficialClient, by_files
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.kubeconfig import lacks, read_kubeconfig
from harness.kube.stream import Refused, ResponseStream, SocketStream, Stream

if TYPE_CHECKING:
    from kubernetes.aio.client import Configuration  # imported where it is needed: 0.25 s of CPU, 10 MiB

JSON_TYPE = "application/json"
PARTIAL_OBJECT = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

DEFAULT_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
_FORBIDDEN = 403
_TOO_MANY_REQUESTS = 429
_TRIES_TO_READ = 3
"""Of a connection that is reset, not of one that is refused: nobody is there then."""
_AGAIN_S = 0.2
_MALFORMED = (KeyError, TypeError, AttributeError)
"""What the official client raises for a kubeconfig whose values are of another sort than it takes them for."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class RequestOptions(TypedDict, total=False):
    """The options of `Transport.request`."""

    query: Mapping[str, str | int] | None
    body: object
    accept: str
    content_type: str
    timeout_s: float


class Transport:
    """Sends requests to one API server as one identity."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.server: str = client.server
        near = urlsplit(client.server).hostname in _LOOPBACK
        self._encoding = {"Accept-Encoding": "identity"} if near else {}
        """On this machine compressing costs both sides more than it saves, and the server is what is measured."""

    @classmethod
    async def connect(cls, kubeconfig: Path, context: str | None = None) -> Transport:
        """Read the kubeconfig and make a pool; sends nothing yet. Raises UsageError for a file that cannot be used."""
        document = read_kubeconfig(kubeconfig)
        files = by_files(document, kubeconfig.parent) if context is None else None
        if files is not None:
            try:
                return cls(FilesClient(files))
            except (ValueError, OSError) as error:
                raise _unusable(kubeconfig, error) from error
        from kubernetes.aio.client import ApiClient, Configuration
        from kubernetes.aio.config import ConfigException

        configuration = Configuration(client_session_kwargs={"trust_env": False})
        configuration.connection_pool_maxsize = 0  # every watch holds a connection: no limit
        try:
            await _load(document, kubeconfig, context, configuration)
            return cls(OfficialClient(ApiClient(configuration)))
        except (ConfigException, *_MALFORMED, ValueError, OSError) as error:
            raise _unusable(kubeconfig, error) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: object = None,
        accept: str = JSON_TYPE,
        content_type: str = JSON_TYPE,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> bytes:
        """The body of a 2xx answer. `timeout_s` covers the whole call, waits for a throttling server (429) included.

        What was only read and cut off is asked for again. Raises ApiError for any other answer, ApiUnreachable where none came.
        """
        place = f"{method} {path}"
        tries_left = _TRIES_TO_READ if method == "GET" else 1
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    tries_left -= 1
                    try:
                        response = await self._send(method, path, query, body, accept, content_type, timeout_s, None)
                        async with response:
                            data = await response.read()
                    except (
                        aiohttp.ClientOSError,
                        aiohttp.ServerDisconnectedError,
                        aiohttp.ClientPayloadError,
                    ) as error:
                        if tries_left <= 0 or isinstance(error, aiohttp.ClientConnectorError):
                            raise
                        await asyncio.sleep(_AGAIN_S)
                        continue
                    if response.status != _TOO_MANY_REQUESTS:
                        break
                    await asyncio.sleep(_retry_after(response.headers))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(place, error, timeout_s) from error
        if not 200 <= response.status < 300:
            raise ApiError.from_body(response.status, data, place)
        return data

    async def request_json(self, method: str, path: str, **options: Unpack[RequestOptions]) -> dict[str, Any]:
        """`request`, parsed."""
        parsed = json.loads(await self.request(method, path, **options))
        if not isinstance(parsed, dict):
            raise ApiError(200, "Unknown", "the answer is not a JSON object", place=f"{method} {path}")
        return parsed

    async def date(self, timeout_s: float = CONNECT_TIMEOUT_S) -> str | None:
        """The Date header of an answer, whatever it answers; None where it has none. ApiUnreachable where none came."""
        place = "/version"
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._send("GET", place, None, None, JSON_TYPE, JSON_TYPE, timeout_s, None)
                async with response:
                    await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(f"GET {place}", error, timeout_s) from error
        return response.headers.get("Date")

    async def stream(
        self, path: str, query: Mapping[str, str | int], accept: str, read_timeout_s: float
    ) -> aiohttp.ClientResponse:
        """An open answer to read piecewise; the caller closes it. `read_timeout_s` is the longest silence allowed."""
        try:
            response = await self._send("GET", path, query, None, accept, JSON_TYPE, None, read_timeout_s)
            if response.status == 200:
                return response
            async with response:
                data = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(f"watch {path}", error, read_timeout_s) from error
        raise ApiError.from_body(response.status, data, f"watch {path}")

    async def lines(self, path: str, query: Mapping[str, str | int], accept: str, silence_s: float) -> Stream:
        """An open answer to read line by line; the caller closes it. `silence_s` is the longest silence allowed.

        Read straight from its own connection where the credentials are files (as all that the harness writes), else as `stream`.
        """
        if self._client.tls is not None:
            try:
                stream = await self._direct(self._client.tls, path, query, accept, silence_s)
            except (TimeoutError, OSError) as error:
                raise self._unreachable(f"watch {path}", error, CONNECT_TIMEOUT_S) from error
            if isinstance(stream, Refused):
                raise ApiError.from_body(stream.status, stream.body, f"watch {path}")
            if stream is not None:
                return stream
        return ResponseStream(await self.stream(path, query, accept, silence_s))

    async def _direct(
        self, tls: ssl.SSLContext, path: str, query: Mapping[str, str | int], accept: str, silence_s: float
    ) -> SocketStream | Refused | None:
        """None where the answer is such as only the ordinary way can read."""
        url = urlsplit(f"{self.server}{path}?{urlencode(query)}")
        fields = {
            "Host": url.netloc, "Accept": accept, "User-Agent": "harness", **await self._client.credentials(),
        }  # fmt: skip
        lines = [f"GET {url.path}?{url.query} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        request = "\r\n".join([*lines, "", ""]).encode("latin-1")
        host, port = url.hostname or "", url.port or 443
        return await SocketStream.open(host, port, tls, request, connect_s=CONNECT_TIMEOUT_S, silence_s=silence_s)

    async def websocket(
        self, path: str, query: Mapping[str, str | int], protocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        """An open WebSocket of a subresource (port-forward, exec); the caller closes it. Raises as `request`."""
        place = f"websocket {path}"
        try:
            async with asyncio.timeout(DEFAULT_TIMEOUT_S):
                headers = {"User-Agent": "harness", **await self._client.credentials()}
                session = await self._client.session()
                url = f"{self.server}{path}?{urlencode(query)}"
                return await session.ws_connect(url, protocols=(protocol,), headers=headers, max_msg_size=0)
        except aiohttp.WSServerHandshakeError as error:
            raise ApiError(error.status, *_handshake_words(error, path), place=place) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(place, error, DEFAULT_TIMEOUT_S) from error

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: object,
        accept: str,
        content_type: str,
        total_s: float | None,
        read_s: float | None,
    ) -> aiohttp.ClientResponse:
        headers = {
            "Accept": accept,
            "Content-Type": content_type,
            "User-Agent": "harness",
            **self._encoding,
            **await self._client.credentials(),
        }
        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        timeout = aiohttp.ClientTimeout(
            total=total_s, sock_connect=CONNECT_TIMEOUT_S, sock_read=read_s if read_s is not None else total_s
        )
        return await self._client.send(method, url, headers, body, timeout)

    def _unreachable(self, place: str, error: Exception, timeout_s: float) -> ApiUnreachable:
        words = f"no answer within {timeout_s:g} s" if isinstance(error, TimeoutError) else str(error) or repr(error)
        return ApiUnreachable(f"{self.server} cannot be reached: {words}", place=place)


def _retry_after(headers: Mapping[str, str]) -> float:
    try:
        return min(max(float(headers.get("Retry-After", "1")), 0.1), 5.0)
    except ValueError:
        return 1.0


def _unusable(kubeconfig: Path, error: Exception) -> UsageError:
    wrong = lacks(error) if isinstance(error, _MALFORMED) else f"cannot be used: {error}"
    return UsageError(f"this kubeconfig {wrong}", place=str(kubeconfig), remedy="check it with kubectl")


async def _load(document: dict[str, Any], kubeconfig: Path, context: str | None, configuration: Configuration) -> None:
    """Fill `configuration` with server, CA and credentials, and keep a plugin's token fresh."""
    from kubernetes.aio.config.kube_config import KubeConfigLoader

    loader = KubeConfigLoader(document, active_context=context, config_base_path=str(kubeconfig.parent))
    user_name = loader.current_context["context"].get("user")
    users = {entry["name"]: entry.get("user") or {} for entry in document.get("users") or []}
    if user_name not in users:
        raise UsageError(f"its context names the user {user_name!r}, which it does not hold", place=str(kubeconfig))
    await loader.load_and_set(configuration)
    if "exec" not in users[user_name]:
        return
    if not configuration.api_key and not configuration.cert_file:
        command = users[user_name]["exec"].get("command")
        raise EnvironmentFault(
            f"the credential plugin {command!r} gave no credentials", place=str(kubeconfig), remedy="run it by hand"
        )
    if hasattr(loader, "exec_plugin_expiry"):  # without an expiry the loader would start the plugin for each request

        async def refresh(current: Configuration) -> None:
            await loader.load_from_exec_plugin()
            current.api_key["BearerToken"] = loader.token

        configuration.refresh_api_key_hook = refresh


def _handshake_words(error: aiohttp.WSServerHandshakeError, path: str) -> tuple[str, str]:
    """Reason and message of a WebSocket that was refused: what the server says of it is not handed on by the client."""
    if error.status != _FORBIDDEN:
        return "Unknown", error.message
    resource = "/".join(path.split("/")[-3::2])  # …/pods/NAME/portforward
    return "Forbidden", f"it takes the verbs get and, from Kubernetes 1.35 on, create of {resource}"
