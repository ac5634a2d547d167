"""One controller as several processes, each of which reconciles its share of the keys.

Fleet runs a Deployment for each shard, and a label on an object says which shard's it is; here a hash of its key does, so that no
object has to be labelled. As there, each shard watches and caches everything, for objects of different shards belong together:
what is divided is the work, not the memory. The first process starts the shards, serves their metrics as one, and ends with them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from harness.controllers.runtime.program import StartError

END_S = 5.0
"""How long a shard may take to end when it is told to."""
ASK_S = 5.0
"""How long a shard may take to tell its metrics."""


def share_of(shard: int, shards: int) -> Callable[[str], bool]:
    """Whether a key is of this shard's share."""
    return lambda key: zlib.crc32(key.encode()) % shards == shard


def end_with_parent() -> None:
    """Of a shard: end as if told to when the process that started it is gone, however it went. To be called in the loop."""
    fd = sys.stdin.fileno()

    def look() -> None:
        if not os.read(fd, 4096):
            asyncio.get_running_loop().remove_reader(fd)
            signal.raise_signal(signal.SIGTERM)

    asyncio.get_running_loop().add_reader(fd, look)


async def run_shards(module: str, arguments: Sequence[str], shards: int, address: tuple[str, int] | None) -> None:
    """Run `python -m MODULE ARGUMENTS --shard=I` for each shard until SIGTERM or SIGINT.

    Raises StartError where the address cannot be bound, or a shard ends by itself: its share would be nobody's.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    with tempfile.TemporaryDirectory(prefix="controller-shards-") as scratch:
        sockets = [Path(scratch) / str(shard) for shard in range(shards)]
        children: list[asyncio.subprocess.Process] = []
        runner = None
        try:
            if address is not None:
                runner = await _serve(address, sockets)
            for shard, socket in enumerate(sockets):
                more = [f"--shard={shard}", f"--metrics-socket={socket}"]
                # Its end of the pipe is all that a shard needs to know of us: it closes however we end.
                children.append(
                    await asyncio.create_subprocess_exec(
                        sys.executable, "-P", "-m", module, *arguments, *more, stdin=asyncio.subprocess.PIPE
                    )
                )
            await _until_ended(children, stop)
        finally:
            await _end(children)
            if runner is not None:
                await runner.cleanup()


async def _until_ended(children: Sequence[asyncio.subprocess.Process], stop: asyncio.Event) -> None:
    waiting = [asyncio.create_task(child.wait()) for child in children]
    told = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([told, *waiting], return_when=asyncio.FIRST_COMPLETED)
        for shard, task in enumerate(waiting):
            if task.done() and not stop.is_set():
                raise StartError(f"shard {shard} has ended by itself, with {task.result()}")
    finally:
        for each in (told, *waiting):
            each.cancel()
        await asyncio.gather(told, *waiting, return_exceptions=True)


async def _end(children: Sequence[asyncio.subprocess.Process]) -> None:
    for child in children:
        if child.returncode is None:
            child.send_signal(signal.SIGTERM)
    for child in children:
        try:
            async with asyncio.timeout(END_S):
                await child.wait()
        except TimeoutError:
            child.kill()
            await child.wait()


async def _serve(address: tuple[str, int], sockets: Sequence[Path]) -> web.AppRunner:
    async def metrics(_: web.Request) -> web.Response:
        texts = await asyncio.gather(*(_ask(socket, "/metrics") for socket in sockets))
        if any(text is None for text in texts):
            return web.Response(status=503, text="a shard does not answer\n")
        body = together([text or "" for text in texts])
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def ready(_: web.Request) -> web.Response:
        answers = await asyncio.gather(*(_ask(socket, "/readyz") for socket in sockets))
        if any(answer is None for answer in answers):
            return web.Response(status=503, text="not all shards are ready\n")
        return web.Response(text="ok\n")

    async def health(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    app = web.Application()
    for path, answer in (("/metrics", metrics), ("/readyz", ready), ("/healthz", health)):
        app.router.add_get(path, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, *address).start()
    except OSError as error:
        await runner.cleanup()
        raise StartError(f"cannot listen on {address[0]}:{address[1]}: {error.strerror or error}") from error
    return runner


async def _ask(socket: Path, path: str) -> str | None:
    """What a shard answers; None where it does not, or with an error."""
    timeout = aiohttp.ClientTimeout(total=ASK_S)
    connector = aiohttp.UnixConnector(str(socket))
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"http://shard{path}") as answer,
        ):
            return await answer.text() if answer.status == 200 else None
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None


class _Together(Collector):
    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        for shard, text in enumerate(self._texts):
            for family in text_string_to_metric_families(text):
                all_ = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    all_.samples.append(sample._replace(labels={**sample.labels, "shard": str(shard)}))
        return iter(families.values())


def together(texts: Iterable[str]) -> bytes:
    """The metrics of all shards as one exposition, each series with the number of its shard."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Together(texts))
    return generate_latest(registry)
