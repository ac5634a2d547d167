"""The server of the site: on 127.0.0.1 alone, until it is told to end."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import Callable
from pathlib import Path

from aiohttp import web

from harness.core.errors import EnvironmentFault
from harness.web import guard
from harness.web.app import Site
from harness.web.library import Library

HOST = "127.0.0.1"
_SHUTDOWN_S = 1.0


async def serve(root: Path, history: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve the runs in `root` until SIGINT or SIGTERM. `ready` gets the address once it can be asked.

    Raises EnvironmentFault where the port cannot be had.
    """
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    site = Site(Library(root), history)
    runner = await start(site, port)
    try:
        ready(address_of(runner))
        await ended.wait()
    finally:
        site.closing.set()
        await runner.cleanup()


async def start(site: Site, port: int) -> web.AppRunner:
    """Listen; port 0 is a free one. Raises EnvironmentFault where the port cannot be had."""
    app = site.application()
    app.on_response_prepare.append(guard.add_headers)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        await runner.cleanup()
        cause = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
        raise EnvironmentFault(
            cause, place=f"{HOST}:{port}", remedy="choose another with --port, or --port 0 for any that is free"
        ) from None
    return runner


def address_of(runner: web.AppRunner) -> str:
    """Where the site is."""
    host, port = runner.addresses[0][:2]
    return f"http://{host}:{port}/"
