"""An endpoint on loopback that takes what Pyroscope clients send, for runs without a Pyroscope server.

Two ways in, as a real server has them: `POST /push.v1.PusherService/Push` (Connect protocol, protobuf or JSON) and
`POST /ingest` (multipart field `profile`, or the profile as the body).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from harness.collectors.pprof import fields

_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Upload:
    """One profile as it was sent: raw pprof, mostly gzip'd, with its labels."""

    labels: dict[str, str]
    raw: bytes


class IngestServer:
    """Listens on a free port of 127.0.0.1 and hands every upload to `take`, from the event loop."""

    def __init__(self, take: Callable[[Upload], None]) -> None:
        self._take = take
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen; `url` is valid from now on."""
        app = web.Application(client_max_size=_MAX_BYTES)
        app.router.add_post("/push.v1.PusherService/Push", self._push)
        app.router.add_post("/ingest", self._ingest)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening; idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _push(self, request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp has undone Content-Encoding
        is_json = request.content_type == "application/json"
        try:
            uploads = from_json(body) if is_json else from_protobuf(body)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            return web.json_response({"code": "invalid_argument", "message": str(error)}, status=400)
        for upload in uploads:
            self._take(upload)
        return web.Response(body=b"{}" if is_json else b"", content_type=request.content_type)

    async def _ingest(self, request: web.Request) -> web.Response:
        name, labels = split_name(request.query.get("name", ""))
        if request.content_type == "multipart/form-data":
            form = await request.post()
            part = form.get("profile")
            if not isinstance(part, web.FileField):
                return web.Response(status=400, text="the form has no file `profile`")
            raw = part.file.read()
        else:
            raw = await request.read()
        if not name or not raw:
            return web.Response(status=400, text="a name and a profile are needed")
        self._take(Upload({"__name__": name, **labels}, raw))
        return web.Response()


def from_protobuf(body: bytes) -> list[Upload]:
    """Uploads of a `push.v1.PushRequest`. Raises ValueError where it is none."""
    uploads = []
    for number, series in fields(body):
        if number != 1 or isinstance(series, int):
            continue
        labels: dict[str, str] = {}
        profiles = []
        for part, value in fields(series):
            if isinstance(value, int):
                raise ValueError("a series has a number where a message is due")  # noqa: TRY004  # the input is wrong, not the caller
            inner = dict(fields(value))
            if part == 1:
                labels[_text(inner.get(1, b""))] = _text(inner.get(2, b""))
            elif part == 2:
                profiles.append(inner.get(1, b""))
        uploads += [Upload(labels, raw) for raw in profiles if isinstance(raw, bytes) and raw]
    return uploads


def from_json(body: bytes) -> list[Upload]:
    """Uploads of a push in JSON. Raises ValueError, KeyError, TypeError, AttributeError or RecursionError where it is none."""
    uploads = []
    for series in json.loads(body)["series"]:
        labels = {str(pair["name"]): str(pair["value"]) for pair in series.get("labels", [])}
        for sample in series["samples"]:
            try:
                raw = base64.b64decode(sample["rawProfile"], validate=True)
            except binascii.Error as error:
                raise ValueError(f"rawProfile is not base64: {error}") from error
            uploads.append(Upload(labels, raw))
    return uploads


def split_name(text: str) -> tuple[str, dict[str, str]]:
    """`svc{run_id=r1,arm=base}` as the name and its labels."""
    name, _, rest = text.partition("{")
    pairs = (pair.partition("=") for pair in rest.rstrip("}").split(",") if "=" in pair)
    return name.strip(), {key.strip(): value.strip() for key, _, value in pairs}


def _text(value: int | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
