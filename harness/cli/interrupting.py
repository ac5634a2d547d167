"""How Ctrl-C ends what a verb does by itself, so that what is there by then is still told."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

_T = TypeVar("_T")


async def until_signal(work: Callable[[asyncio.Event], Awaitable[_T]]) -> _T:
    """A first Ctrl-C sets the event: it ends the measuring, not the work. Cleaning up and telling come after it."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return await work(stop)
