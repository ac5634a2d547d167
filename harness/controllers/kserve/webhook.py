"""The mutating admission webhook: each InferenceService is told how many of its Secrets were there when it was admitted."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
from pathlib import Path

import aiohttp
from aiohttp import web

from harness.controllers.kserve.credentials import Finder
from harness.controllers.kserve.names import FOUND_ANNOTATION
from harness.controllers.kserve.series import Series
from harness.controllers.runtime.client import ApiError
from harness.controllers.runtime.program import StartError
from harness.controllers.runtime.resources import Object

PATH = "/mutate-inferenceservices"
_MAX_BYTES = 4 << 20
"""Of a review: etcd takes no object of more than 1.5 MiB, and a review may hold two."""


class Webhook:
    """Serves admission reviews with TLS; a `manager.Follower` that is ready when it listens."""

    resource = "admission webhook"

    def __init__(self, host: str, port: int, certificates: Path, finder: Finder, series: Series) -> None:
        self._host, self._port = host, port
        self._finder, self._series = finder, series
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificates / "tls.crt", certificates / "tls.key")
        self._log = logging.getLogger("kserve.webhook")
        self.synced = asyncio.Event()

    async def run(self) -> None:
        """Serve, for ever. Raises StartError where the address cannot be bound."""
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_post(PATH, self._review)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, self._host, self._port, ssl_context=self._tls).start()
            except OSError as error:
                raise StartError(f"cannot listen on {self._host}:{self._port}: {error.strerror or error}") from error
            self.synced.set()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _review(self, request: web.Request) -> web.Response:
        try:
            review = await request.json()
            asked, uid = review["request"], review["request"]["uid"]
            service, namespace = asked["object"], asked["namespace"]
        except (ValueError, KeyError, TypeError):
            return web.Response(status=400, text="not an AdmissionReview\n")
        try:
            answer = await self._answer(service, namespace)
        except (ApiError, aiohttp.ClientError, OSError, TimeoutError) as error:
            self._series.admitted.labels(result="error").inc()
            self._log.warning("credentials of an admitted object cannot be looked up: %s", error)
            return web.Response(status=500, text="credentials cannot be looked up\n")
        self._series.admitted.labels(result="allowed").inc()
        body = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": uid, **answer}}
        return web.json_response(body)

    async def _answer(self, service: Object, namespace: str) -> Object:
        found = await self._finder.find(service, namespace)
        key = FOUND_ANNOTATION.replace("~", "~0").replace("/", "~1")
        patch: list[Object] = []
        if service["metadata"].get("annotations") is None:
            patch.append({"op": "add", "path": "/metadata/annotations", "value": {}})
        patch.append({"op": "add", "path": f"/metadata/annotations/{key}", "value": str(found.found)})
        answer: Object = {
            "allowed": True, "patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()
        }  # fmt: skip
        if found.missing:
            answer["warnings"] = [f"{name} does not exist yet" for name in found.missing[:3]]
        return answer
