"""The live heap of a Go subject, told by its own pprof handler after a collection."""

from __future__ import annotations

import aiohttp

from harness.core.errors import EnvironmentFault, RunFault

_TIMEOUT = aiohttp.ClientTimeout(total=8)
_MARK = b"# HeapAlloc = "


async def heap_after_collection(pprof_url: str | None) -> float:
    """Bytes of `runtime.MemStats.HeapAlloc` after a forced collection.

    `pprof_url` ends in `/debug/pprof` or names the server. The text form of the heap profile runs a collection where asked
    and ends with the runtime's statistics. Raises EnvironmentFault without a URL, RunFault where the answer is of no use.
    """
    if pprof_url is None:
        raise EnvironmentFault(
            "the subject has no pprof URL, so a collection cannot be forced", place="tasks", remedy="set subject.pprof"
        )
    base = pprof_url.rstrip("/")
    url = f"{base if base.endswith('/pprof') else base + '/debug/pprof'}/heap"
    try:
        async with (
            aiohttp.ClientSession(trust_env=False, timeout=_TIMEOUT) as session,
            session.get(url, params={"gc": "1", "debug": "1"}) as response,
        ):
            response.raise_for_status()
            async for line in response.content:
                if line.startswith(_MARK):
                    return float(line[len(_MARK) :])
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RunFault(f"the heap profile could not be read: {type(error).__name__}: {error}", place=url) from error
    raise RunFault("the heap profile has no HeapAlloc line", place=url)
