"""What a watched event costs the harness's process, by itself: `python tests/bench/watching.py [EVENTS] [SECONDS_BETWEEN]`.

A process of its own plays an API server: over TLS it sends one event after another, as the controller `fleet` brings them about
(a BundleDeployment of 1.3 KB by metadata). The latency collector watches, and the CPU time of its process is read before and
after. It takes nothing but what the collector does on each event, so two versions can be compared: run it with the PYTHONPATH
of either.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import tempfile
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from aiohttp import web

from harness.cluster.pki import Authority
from harness.collectors.latency import LatencyCollector
from harness.core.kinds import find
from tests.collecting import ListSink, ProcessSubject, context

KIND = find("BundleDeployment")
_NAMESPACE = "run-20261122-000000-abcde"
_LIMIT_S = 120.0


def _event(number: int) -> bytes:
    fields: dict[str, object] = {
        "f:metadata": {"f:labels": {".": {}, "f:fleet.cattle.io/bundle-name": {}, "f:fleet.cattle.io/cluster": {}}}
    }
    managed = [
        {"manager": f"manager-{each}", "operation": "Update", "apiVersion": "fleet.cattle.io/v1alpha1",
         "time": "2026-11-22T09:30:15Z", "fieldsType": "FieldsV1", "fieldsV1": {**fields, "f:spec": {"f:options": {}}}}
        for each in range(3)
    ]  # fmt: skip
    labels = {
        "fleet.cattle.io/bundle-name": f"repo-abcde-{number % 40:05d}-b00001",
        "fleet.cattle.io/cluster": "cluster-abcde-00000",
    }
    metadata: dict[str, Any] = {
        "name": f"repo-abcde-{number:05d}", "namespace": _NAMESPACE, "uid": f"{number:036d}", "generation": 1,
        "resourceVersion": str(number + 2), "creationTimestamp": "2026-11-22T09:30:15Z", "labels": labels,
        "managedFields": managed,
    }  # fmt: skip
    item = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return json.dumps({"type": "ADDED", "object": item}, separators=(",", ":")).encode() + b"\n"


def _serve(certificate: str, key: str, events: int, between_s: float, tell: Connection) -> None:
    """The API server: an empty list, then a watch that waits for its word."""
    go = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/go":
            go.set()
            return web.Response()
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        response = web.StreamResponse()
        await response.prepare(request)
        await go.wait()
        for number in range(events):
            await response.write(_event(number))
            await asyncio.sleep(between_s)
        await asyncio.sleep(_LIMIT_S)
        return response

    async def main() -> None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        tell.send(runner.addresses[0][1])
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, tell.recv)
        go.set()
        await asyncio.sleep(_LIMIT_S)

    asyncio.run(main())


async def _watch(kubeconfig: Path, events: int, tell: Connection) -> float:
    """CPU seconds of this process for all events."""
    collector, sink = LatencyCollector(), ListSink()
    changed = context(sink, ProcessSubject(), kinds=[KIND])
    object.__setattr__(changed, "watcher_kubeconfig", kubeconfig)
    object.__setattr__(changed, "namespace", _NAMESPACE)
    await collector.attach(changed)
    await asyncio.sleep(0.5)
    before = time.process_time()
    tell.send("go")
    async with asyncio.timeout(_LIMIT_S):
        while collector.objects(KIND) < events:  # noqa: ASYNC110 # the collector tells nobody
            await asyncio.sleep(0.1)
    spent = time.process_time() - before
    await collector.detach()
    return spent


def main(arguments: list[str]) -> None:
    """Print the figure."""
    events, between_s = int(arguments[0] if arguments else 1000), float(arguments[1] if arguments[1:] else 0.004)
    with tempfile.TemporaryDirectory() as directory:
        authority = Authority(Path(directory) / "ca")
        ours, theirs = get_context("spawn").Pipe()
        certificate, key = authority.server("127.0.0.1")
        server = get_context("spawn").Process(
            target=_serve, args=(str(certificate), str(key), events, between_s, theirs)
        )
        server.start()
        try:
            kubeconfig = authority.kubeconfig(f"https://127.0.0.1:{ours.recv()}", "c", "watcher")
            spent = asyncio.run(_watch(kubeconfig, events, ours))
        finally:
            server.terminate()
            server.join()
    print(f"{spent / events * 1e6:.1f} us of CPU per event ({events} events, one every {between_s * 1e3:g} ms)")


if __name__ == "__main__":
    main(sys.argv[1:])
