"""A REPLAYED watch: an HTTPS server of its own process that sends watch events at a fixed rate and notes when it did.

It stands in for an API server that no machine of this size can bring to 5,000 events a second together with its writers.
What is sent has the form and size of what a real one sends; that it is the harness's real client, watch and collector that
receive it is the point. Started by `tests.accuracy.stream`; talks to nobody else.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import time
from array import array
from pathlib import Path
from typing import Any

from aiohttp import web

NAME = "effect-{:06d}"
PATH = "/apis/fleet.cattle.io/v1alpha1/bundledeployments"
SENT = "sent.bin"
"""Times of sending, `time.monotonic_ns()` by event, as an array of 64-bit numbers."""
_LEAD_S = 0.5


def event(index: int, *, content: bool) -> bytes:
    """A watch event of about the size of a real one: 1.3 KB with metadata only, 2.6 KB whole."""
    managed: list[dict[str, object]] = [
        {
            "manager": manager, "operation": "Update", "apiVersion": "fleet.cattle.io/v1alpha1",
            "time": "2026-11-22T02:17:14Z", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:metadata": {"f:labels": {".": {}, **{f"f:fleet.cattle.io/label-{i}": {} for i in range(6)}}}},
        }
        for manager in ("controller-harness-reference", "agent")
    ]  # fmt: skip
    labels = {f"fleet.cattle.io/label-{i}": f"value-{index}" for i in range(5)}
    item: dict[str, Any] = {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {
            "name": NAME.format(index), "namespace": "replayed", "uid": f"0b7c2f1e-8f57-4a52-9d0e-{index:012d}",
            "resourceVersion": str(1000 + index), "generation": 1, "creationTimestamp": "2026-11-22T02:17:14Z",
            "labels": {**labels, "fleet.cattle.io/bundle-name": NAME.format(index)}, "managedFields": managed,
        },
    }  # fmt: skip
    if content:
        conditions = [
            {"type": type_, "status": "True", "lastUpdateTime": "2026-11-22T02:17:14Z", "reason": "", "message": ""}
            for type_ in ("Installed", "Deployed", "Monitored", "Ready")
        ]
        item |= {
            "kind": "BundleDeployment", "apiVersion": "fleet.cattle.io/v1alpha1",
            "spec": {"deploymentID": f"s-{index:064x}", "stagedDeploymentID": f"s-{index:064x}"},
            "status": {"appliedDeploymentID": f"s-{index:064x}", "conditions": conditions, "release": "a/b:1",
                       "display": {"state": "Ready", "deployed": "True", "monitored": "True"}},
        }  # fmt: skip
    return json.dumps({"type": "ADDED", "object": item}, separators=(",", ":")).encode() + b"\n"


class Replay:
    """One list that is empty, and one watch that gets everything."""

    def __init__(self, count: int, rate: float, *, content: bool) -> None:
        self.sent_ns = array("q", [0]) * count
        self.done = asyncio.Event()
        self._rate = rate
        # Beforehand: what is measured is the receiver.
        self._events = [event(index, content=content) for index in range(count)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The list, or the watch."""
        if "watch" not in request.query:
            return web.json_response({"kind": "List", "metadata": {"resourceVersion": "1000"}, "items": []})
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        began = time.monotonic() + _LEAD_S
        sent = 0
        while sent < len(self._events):
            due = min(len(self._events), int((time.monotonic() - began) * self._rate))
            while sent < due:
                self.sent_ns[sent] = time.monotonic_ns()
                await response.write(self._events[sent])
                sent += 1
            await asyncio.sleep(1 / self._rate)
        self.done.set()
        await asyncio.sleep(3600)  # until the client has had enough
        return response


async def serve(directory: Path, count: int, rate: float, *, content: bool) -> None:
    """Print the port, send, and write the times of sending."""
    replay = Replay(count, rate, content=content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.crt", directory / "server.key")
    app = web.Application()
    app.router.add_get(PATH, replay.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    async with asyncio.timeout(120 + 3 * count / rate):
        await replay.done.wait()
        (directory / SENT).write_bytes(replay.sent_ns.tobytes())
        sys.stdout.write("sent\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--content", action="store_true")
    options = parser.parse_args()
    asyncio.run(serve(options.directory, options.count, options.rate, content=options.content))


if __name__ == "__main__":
    main()
