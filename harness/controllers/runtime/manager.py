"""Runs informers and controllers together, from start to a clean end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from harness.controllers.runtime.controller import Controller
from harness.controllers.runtime.election import Election
from harness.controllers.runtime.tasks import named

DRAIN_S = 2.0
"""How long workers may take to finish what they are at when the process is told to end."""


class Follower(Protocol):
    """What runs from the start to the end of a process, and must be ready before any work begins: an informer, a server."""

    synced: asyncio.Event

    @property
    def resource(self) -> object:
        """What it follows, as text for people."""

    async def run(self) -> None:
        """Ends only by cancellation."""


class Manager:
    """All informers, and what else must be ready first, and all controllers of a process."""

    def __init__(self) -> None:
        self.informers: Sequence[Follower] = []
        self.controllers: list[Controller] = []
        self.election: Election | None = None
        """None: it works without asking. A candidate's caches fill while it waits, as those of controller-runtime do."""
        self._working = False
        self._log = logging.getLogger("manager")

    async def run(self, stop: asyncio.Event) -> None:
        """Start informers; when all have synced start the workers; when `stop` is set end in good order.

        Raises LeadershipLostError: a process that is leader no more must end.
        """
        tasks = [self._start_informer(informer) for informer in self.informers]
        main = asyncio.create_task(self._work(), name="manager")
        stopped = asyncio.create_task(stop.wait(), name="wait-for-stop")
        try:
            await asyncio.wait([main, stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
            for controller in self.controllers:
                controller.stop()
            await asyncio.wait([main], timeout=DRAIN_S if self._working else 0)
        finally:
            ended = [main, stopped, *tasks]
            for task in ended:
                task.cancel()
            outcomes = await asyncio.gather(*ended, return_exceptions=True)
            if self.election is not None and stop.is_set():
                await self.election.release()
        _raise_first(outcomes)

    def _start_informer(self, informer: Follower) -> asyncio.Task[None]:
        follow = named(informer.run(), str(informer.resource), "informer")
        return asyncio.create_task(follow, name=f"informer-{informer.resource}")

    async def _work(self) -> None:
        for informer in self.informers:
            await informer.synced.wait()
        if self.election is not None:
            await self.election.wait()
        self._log.info("all informers have synced, starting workers")
        self._working = bool(self.controllers)
        holding = None if self.election is None else asyncio.create_task(self.election.hold(), name="lease")
        workers = asyncio.create_task(self._run_workers(), name="workers")
        try:
            await asyncio.wait([task for task in (holding, workers) if task], return_when=asyncio.FIRST_COMPLETED)
            if holding is not None and holding.done():
                holding.result()
            await workers
        finally:
            for task in (holding, workers):
                if task is not None:
                    task.cancel()
            await asyncio.gather(*(task for task in (holding, workers) if task), return_exceptions=True)

    async def _run_workers(self) -> None:
        async with asyncio.TaskGroup() as group:
            for controller in self.controllers:
                controller.start(group)
            if not self.controllers:  # what it does it does while it follows
                await asyncio.Event().wait()


def _raise_first(outcomes: Sequence[object]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
