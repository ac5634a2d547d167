"""A controller as a program: connects, serves its metrics, and works until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from harness.controllers.runtime import logs
from harness.controllers.runtime.client import Api, ConfigError
from harness.controllers.runtime.election import LeadershipLostError
from harness.controllers.runtime.manager import Manager
from harness.controllers.runtime.metrics import Metrics
from harness.controllers.runtime.server import Server

Build = Callable[[Api, Metrics], Manager]
"""Puts informers and controllers together."""


class StartError(Exception):
    """The process cannot do its work, or not any more; the text is one sentence for people."""


async def serve(name: str, kubeconfig: Path, metrics_address: tuple[str, int] | Path | None, build: Build) -> None:
    """Run what `build` makes until SIGTERM or SIGINT. Raises ConfigError for the kubeconfig, StartError for the
    address or a lost Lease.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(await Api.from_kubeconfig(kubeconfig))
        api.on_response = metrics.request_counter(api.host)
        manager = build(api, metrics)
        if metrics_address:
            try:
                await stack.enter_async_context(Server(metrics_address, metrics, lambda: manager.informers))
            except OSError as error:
                where = metrics_address if isinstance(metrics_address, Path) else "{}:{}".format(*metrics_address)
                raise StartError(f"cannot listen on {where}: {error.strerror or error}") from error
        try:
            await manager.run(stop)
        except LeadershipLostError as error:
            raise StartError(str(error)) from error
        logging.getLogger(name).info("stopped")


def main(name: str, work: Coroutine[Any, Any, None]) -> int:
    """Run `work`; what can go wrong becomes a line on stderr and status 1."""
    logs.set_up()
    try:
        asyncio.run(work)
    except (ConfigError, StartError) as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 1
    return 0
