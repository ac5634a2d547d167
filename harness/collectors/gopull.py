"""Pulls the profiles of a Go subject from its pprof handler.

The heap and the goroutines are snapshots: exactly one of each is taken at the end of each phase, for a server adds up the
snapshots in a range, and only equal numbers of them compare. CPU time and allocations are pulled as windows that follow
each other: they are what happened since the last one, and may be added up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from harness.collectors.goruntime import page
from harness.collectors.pprof import unpacked
from harness.collectors.pprof_write import select
from harness.core.errors import HarnessError, RunFault
from harness.core.handles import Subject

WINDOW_S = 5
_SNAPSHOT = aiohttp.ClientTimeout(total=8)
_GRACE_S = 10
"""For the answer about a window, beyond its length."""
_MAX_BYTES = 64 << 20
_PAUSE_S = 1.0
_SAID = 200
"""Bytes of an error that are told."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """One profile: `name` is its series on a Pyroscope server, `kind` that of the page it comes from."""

    name: str
    kind: str
    phase: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class _Page:
    name: str
    kind: str
    keep: tuple[str, ...]
    """Sample types: of the heap what is in use, of the allocations what was allocated in the window."""


HEAP = _Page("memory", "heap", ("inuse_objects", "inuse_space"))
GOROUTINES = _Page("goroutines", "goroutine", ("goroutine",))
CPU = _Page("process_cpu", "profile", ("cpu",))
ALLOCS = _Page("memory", "allocs", ("alloc_objects", "alloc_space"))


class GoPuller:
    """Hands every profile to `take`, every failure to `warn` (once per page), from tasks of its own."""

    def __init__(
        self,
        subject: Subject,
        take: Callable[[Pulled], None],
        warn: Callable[[str], None],
        *,
        window_s: int = WINDOW_S,
        windows: Sequence[_Page] = (CPU, ALLOCS),
    ) -> None:
        """`windows` are pulled one after another, of `window_s` seconds each."""
        self._window_s = window_s
        self._pages = windows
        self._subject = subject
        self._take = take
        self._warn = warn
        self._failed: set[str] = set()
        self._windows: asyncio.Task[None] | None = None
        self.phase = "start"
        """The phase that windows belong to."""

    def start(self) -> None:
        """Begin with the windows. Raises EnvironmentFault where the subject has no pprof URL."""
        page(self._subject.pprof_url, "heap")
        if self._windows is None:
            self._windows = asyncio.create_task(self._follow(), name="pprof-windows")

    async def stop(self) -> None:
        """End; a window that is open is lost. Idempotent."""
        windows, self._windows = self._windows, None
        if windows is not None:
            windows.cancel()
            await asyncio.gather(windows, return_exceptions=True)

    async def snapshot(self, phase: str, *, collect: bool = False) -> None:
        """One snapshot each of heap and goroutines, after a forced collection if `collect`."""
        await asyncio.gather(
            self._pull(HEAP, phase, _SNAPSHOT, **({"gc": "1"} if collect else {})),
            self._pull(GOROUTINES, phase, _SNAPSHOT),
        )

    async def _follow(self) -> None:
        while True:
            phase, seconds = self.phase, str(self._window_s)
            timeout = aiohttp.ClientTimeout(total=self._window_s + _GRACE_S)
            pulls = [self._pull(each, phase, timeout, seconds=seconds) for each in self._pages]
            if not any(await asyncio.gather(*pulls)):
                await asyncio.sleep(_PAUSE_S)

    async def _pull(self, what: _Page, phase: str, timeout: aiohttp.ClientTimeout, **query: str) -> bool:
        try:
            raw = await fetch(page(self._subject.pprof_url, what.kind), timeout, **query)
            pulled = Pulled(what.name, what.kind, phase, await asyncio.to_thread(select, raw, what.keep))
        except (HarnessError, ValueError) as error:
            # One that has been killed cannot answer: that is told elsewhere.
            if what.kind not in self._failed and self._subject.ending() is None:
                self._failed.add(what.kind)
                self._warn(f"{what.kind}: {error}")
            return False
        self._take(pulled)
        return True


async def fetch(url: str, timeout: aiohttp.ClientTimeout = _SNAPSHOT, **query: str) -> bytes:
    """One profile. Raises RunFault where nobody answers, or the answer is no profile."""
    try:
        async with (
            aiohttp.ClientSession(trust_env=False, timeout=timeout) as session,
            session.get(url, params=query) as response,
        ):
            if response.status != 200:
                said = (await response.content.read(_SAID)).decode(errors="replace").strip().partition("\n")[0]
                words = f": {said}" if response.status >= 500 and said and not said.startswith("<") else ""
                raise RunFault(
                    f"answered with status {response.status}{words}", place=url, remedy="look at subject.pprof"
                )
            raw = bytearray()
            while chunk := await response.content.read(_MAX_BYTES - len(raw)):
                raw += chunk
        unpacked(bytes(raw))
    except ValueError as error:
        raise RunFault(str(error), place=url, remedy="look at subject.pprof") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise RunFault(f"could not be read: {str(error) or type(error).__name__}", place=url) from error
    return bytes(raw)
