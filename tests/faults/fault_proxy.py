"""A proxy with TLS in front of a real API server, which does to some requests what networks and servers do at times.

It speaks HTTP, for a fault is to hit a certain request and no other: what it does to whom is said by rules. Callers are who
they are by tokens, which it passes on; it has an authority of its own, which is that of the kubeconfigs made here.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from harness.cluster.embedded import EmbeddedCluster
from harness.cluster.pki import Authority
from harness.core.kinds import find
from harness.kube.api import Api
from harness.kube.discovery import CLUSTER_ROLE_BINDING
from harness.kube.kubeconfig import ClientFiles, client_files, write_kubeconfig, write_private

_HOP = {"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"}
_ANSWERS = {
    "403": ("Forbidden", 'secrets is forbidden: User "somebody" cannot create resource "secrets"'),
    "429": ("TooManyRequests", "the proxy says so"),
    "500": ("InternalError", "the proxy says so"),
}
_LATER = ("cut", "gone")
"""Done only when that many events have come."""
_ADMIN = "fault-proxy-admin"
_GONE = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: `name` is that of the object in its body or at the end of its path."""

    method: str
    path: str
    agent: str
    watch: bool
    name: str
    number: int
    """How often it was asked before: the same method, path and name; of a watch the same path."""


@dataclass(slots=True)
class Rule:
    """What is done to requests of which `when` holds; `done` counts how often it was.

    `do`: `reset` (the connection is cut before the request is passed on), `reset-after` (it was carried out, and the answer is
    lost), `stall` (for `seconds`, then passed on), `403` (as of a server that has not read
    its roles yet), `429` (with Retry-After: 1), `500`; of watches `twice` (each event), `gone`
    (410 after `events` events), `cut` (the connection ends in the middle of an event), `refuse-gone` (410 at once).
    """

    do: str
    when: Callable[[Asked], bool]
    seconds: float = 0.0
    events: int = 0
    done: int = 0


@dataclass(slots=True)
class FaultProxy:
    """`rules` may be changed at any time; the first whose `when` holds counts."""

    server: str
    tls: ssl.SSLContext
    rules: list[Rule] = field(default_factory=list)
    url: str = ""
    _asked: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def serving(self, certificate: tuple[Path, Path]) -> AsyncIterator[None]:
        """Listen on loopback."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ours.load_cert_chain(*certificate)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False, auto_decompress=False) as self._session:
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ours).start()
                self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
                yield
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        asked = self._look(request, body)
        rule = next((each for each in self.rules if each.when(asked)), None)
        do = ""
        if rule is not None:
            rule.done += rule.do not in _LATER
            do = rule.do
        if do == "stall":
            assert rule is not None
            await asyncio.sleep(rule.seconds)
        elif do == "reset":
            return _cut(request)
        elif do in _ANSWERS:
            return _status(int(do), *_ANSWERS[do])
        elif do == "refuse-gone":
            return _status(410, "Expired", "too old resource version")
        return await self._pass(request, body, rule)

    def _look(self, request: web.Request, body: bytes) -> Asked:
        name = request.path.rpartition("/")[2]
        if request.method == "POST" and body.startswith(b"{"):
            name = (json.loads(body).get("metadata") or {}).get("name", "")
        key = request.method, request.path, name
        number = self._asked[key]
        self._asked[key] += 1
        watch = request.query.get("watch") in ("true", "1")
        return Asked(request.method, request.path, request.headers.get("User-Agent", ""), watch, name, number)

    async def _pass(self, request: web.Request, body: bytes, rule: Rule | None) -> web.StreamResponse:
        assert self._session is not None
        headers = {key: value for key, value in request.headers.items() if key.lower() not in _HOP}
        try:
            async with self._session.request(
                request.method, self.server + request.path_qs, headers=headers, data=body or None, ssl=self.tls
            ) as answer:
                if rule is not None and rule.do == "reset-after":
                    await answer.read()
                    return _cut(request)
                response = web.StreamResponse(status=answer.status)
                response.headers.update({k: v for k, v in answer.headers.items() if k.lower() not in _HOP})
                await response.prepare(request)
                if rule is not None and rule.do in ("twice", "gone", "cut") and answer.status == 200:
                    await _spoil(request, response, answer, rule)
                else:
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
                return response
        except aiohttp.ClientError:  # the API server behind us is being restarted, say
            return _cut(request)


async def _spoil(
    request: web.Request, response: web.StreamResponse, answer: aiohttp.ClientResponse, rule: Rule
) -> None:
    """Pass a watch's events on, one by one, and do to them what the rule says."""
    passed, rest = 0, b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if rule.do == "cut" and passed == rule.events:
                rule.done += 1
                await response.write(line[: len(line) // 2])
                _cut(request)
                return
            if rule.do == "gone" and passed == rule.events:
                rule.done += 1
                status = {**_GONE, "code": 410, "reason": "Expired", "message": "too old resource version"}
                await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
                return
            await response.write((line + b"\n") * (2 if rule.do == "twice" else 1))
            passed += 1


def _status(code: int, reason: str, message: str) -> web.Response:
    headers = {"Retry-After": "1"} if code == 429 else {}
    return web.json_response(
        {**_GONE, "code": code, "reason": reason, "message": message}, status=code, headers=headers
    )


def _cut(request: web.Request) -> web.Response:
    """End the connection without an answer, by a reset."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


@asynccontextmanager
async def in_front_of(cluster: EmbeddedCluster, directory: Path) -> AsyncIterator[tuple[FaultProxy, Path]]:
    """A proxy that serves, and an administrator's kubeconfig that leads through it."""
    authority = Authority(directory / "pki")
    files = client_files(cluster.kubeconfig)
    proxy = FaultProxy(files.server, ssl.create_default_context(cafile=files.ca_file))
    token_file = directory / "admin.token"
    write_private(token_file, (await _admin_token(cluster)).encode())
    async with proxy.serving(authority.server("127.0.0.1")):
        kubeconfig = directory / "kubeconfig"
        through = ClientFiles(proxy.url, authority.ca_file, None, None, token_file)
        write_kubeconfig(kubeconfig, through, _ADMIN, "through-the-proxy")
        yield proxy, kubeconfig


async def _admin_token(cluster: EmbeddedCluster) -> str:
    account, namespace = find("ServiceAccount"), "default"
    async with await Api.connect(cluster.kubeconfig) as api:
        metadata = {"metadata": {"name": _ADMIN}}
        await api.create(account, {"apiVersion": "v1", "kind": "ServiceAccount", **metadata}, namespace)
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
        binding: dict[str, Any] = {
            "apiVersion": CLUSTER_ROLE_BINDING.api_version, "kind": CLUSTER_ROLE_BINDING.kind, **metadata, "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": _ADMIN, "namespace": namespace}],
        }  # fmt: skip
        await api.create(CLUSTER_ROLE_BINDING, binding)
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        path = account.path(namespace, _ADMIN, "token")
        answer = await api.transport.request_json("POST", path, body=wanted)
        return str(answer["status"]["token"])
