"""What a Go subject tells by its pprof handler: the live heap after a collection, and its goroutines by where they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aiohttp

from harness.collectors.census import Row
from harness.core.errors import EnvironmentFault, RunFault

_TIMEOUT = aiohttp.ClientTimeout(total=8)
_MARK = b"# HeapAlloc = "
_MAX_BYTES = 64 << 20
_GROUP = re.compile(r"(\d+) @( |$)")
_FRAME = re.compile(r"#\t0x[0-9a-f]+\t([^\t]+?)(\+0x[0-9a-f]+)?\t")

_EMPTY = "(a goroutine without a stack: it begins or ends)"


def page(pprof_url: str | None, name: str) -> str:
    """URL of one of pprof's pages. `pprof_url` ends in `/debug/pprof` or names the server.

    Raises EnvironmentFault without a URL.
    """
    if pprof_url is None:
        raise EnvironmentFault("the subject has no pprof URL", place="tasks", remedy="set subject.pprof")
    base = pprof_url.rstrip("/")
    return f"{base if base.endswith('/pprof') else base + '/debug/pprof'}/{name}"


async def heap_after_collection(pprof_url: str | None) -> float:
    """Bytes of `runtime.MemStats.HeapAlloc` after a forced collection.

    The text form of the heap profile runs a collection where asked and ends with the runtime's statistics. Raises
    EnvironmentFault without a URL, RunFault where the answer is of no use.
    """
    url = page(pprof_url, "heap")
    async with _asked(url, "heap profile", gc="1", debug="1") as response:
        async for line in response.content:
            if line.startswith(_MARK):
                return float(line[len(_MARK) :])
    raise RunFault("the heap profile has no HeapAlloc line", place=url)


async def goroutines(pprof_url: str | None) -> list[Row]:
    """Every goroutine: the function that was started, and the one at the top of its stack.

    From the profile that groups equal stacks: it does not stop the subject to print each, and does not tell states. Raises
    EnvironmentFault without a URL, RunFault where the answer is of no use.
    """
    url = page(pprof_url, "goroutine")
    async with _asked(url, "goroutine profile", debug="1") as response:
        text = (await response.content.read(_MAX_BYTES)).decode(errors="replace")
        while chunk := await response.content.read(_MAX_BYTES):
            text += chunk.decode(errors="replace")
    if not text.startswith("goroutine profile: total "):
        raise RunFault(f"is no goroutine profile: it begins with {text[:40]!r}", place=url)
    return parse_goroutines(text.splitlines()[1:])


def parse_goroutines(lines: Iterable[str]) -> list[Row]:
    """Rows of the text form of a goroutine profile (`debug=1`)."""
    counts: Counter[tuple[str, str]] = Counter()
    count, frames = 0, list[str]()
    for line in [*lines, "0 @"]:
        if group := _GROUP.match(line):
            if count:
                counts[(frames[-1], frames[0]) if frames else (_EMPTY, "")] += count
            count, frames = int(group[1]), []
        elif frame := _FRAME.match(line):
            frames.append(frame[1])
    return [Row("goroutine", started, None, top or None, number) for (started, top), number in counts.most_common()]


@asynccontextmanager
async def _asked(url: str, what: str, **query: str) -> AsyncIterator[aiohttp.ClientResponse]:
    try:
        async with (
            aiohttp.ClientSession(trust_env=False, timeout=_TIMEOUT) as session,
            session.get(url, params=query) as response,
        ):
            response.raise_for_status()
            if response.content_type == "text/html":
                raise RunFault("is a web page, not pprof", place=url, remedy="look at subject.pprof")
            yield response
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise RunFault(f"the {what} could not be read: {type(error).__name__}: {error}", place=url) from error
