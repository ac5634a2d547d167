"""A pod's log, followed into `subject.log` while it is written: afterwards the pod may be gone."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import aiohttp

from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable
from harness.kube.workloads import POD
from harness.process.child import open_log

_SILENCE_S = 24 * 3600.0
"""A controller may rightly say nothing for hours; the API server notices a dead kubelet by itself."""
_PAUSE_S = 0.5
_FORBIDDEN = 403


class PodLog:
    """Appends what one container writes to a file, from its first line to its last."""

    def __init__(self, api: Api, namespace: str, pod: str, container: str, log: Path) -> None:
        self._api = api
        self._path = POD.path(namespace, pod, "log")
        self._container = container
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self.failure: str | None = None
        """Why the log could not be asked for, where that was not because it is over."""

    def start(self) -> None:
        """Begin; the container must have been started."""
        self._task = asyncio.create_task(self._follow(), name="pod-log")

    async def finish(self, timeout_s: float) -> None:
        """Wait until all of an ended container's log is there, for so long at most; idempotent."""
        task, self._task = self._task, None
        if task is None:
            return
        await asyncio.wait({task}, timeout=timeout_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _follow(self) -> None:
        """One connection after another until the server says that there is no more; a break costs no line twice."""
        taken = 0
        with os.fdopen(open_log(self._log), "ab", buffering=0) as file:
            while True:
                try:
                    query = {"container": self._container, "follow": "true"}
                    response = await self._api.transport.stream(self._path, query, "*/*", _SILENCE_S)
                except (ApiError, ApiUnreachable) as error:
                    if isinstance(error, ApiError) and error.status == _FORBIDDEN:
                        self.failure = str(error)
                    return  # else the pod is gone, and its log with it
                skip = taken
                try:
                    async for chunk in response.content.iter_any():
                        fresh = chunk[skip:]
                        skip = max(0, skip - len(chunk))
                        taken += len(fresh)
                        await asyncio.to_thread(file.write, fresh)
                except (aiohttp.ClientError, OSError, TimeoutError):
                    await asyncio.sleep(_PAUSE_S)
                    continue
                finally:
                    response.close()
                return
