"""Whether an API server that is nobody's child of ours still answers."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from harness.core.errors import HarnessError
from harness.kube.api import Api
from harness.kube.errors import ApiError

SILENT_S = 30.0
"""A control plane that is being rolled over is away for seconds; one that is away for longer has spoilt the run."""
_EVERY_S = 2.0
_CALL_LIMIT_S = 5.0


class Health:
    """Asks `/readyz` every two seconds until it is closed."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._answered = time.monotonic()
        self._words = ""
        self._task = asyncio.create_task(self._ask_forever(), name="cluster-health")

    def failure(self) -> str | None:
        """One sentence once there was no answer for `SILENT_S`."""
        if time.monotonic() - self._answered < SILENT_S:
            return None
        return f"the API server did not answer for {SILENT_S:g} s ({self._words})"

    async def close(self) -> None:
        """Stop asking; again is harmless."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _ask_forever(self) -> None:
        async with await Api.connect(self._kubeconfig) as api:
            while True:
                try:
                    await api.transport.request("GET", "/readyz", timeout_s=_CALL_LIMIT_S)
                    self._answered = time.monotonic()
                except ApiError as error:
                    if error.status < 500:  # it answers, if only that this is not for us
                        self._answered = time.monotonic()
                    self._words = f"{error.status} {error.reason}"
                except HarnessError as error:
                    self._words = error.cause
                await asyncio.sleep(_EVERY_S)
