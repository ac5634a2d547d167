"""Pages that take seconds to make, kept while what they were made from has not changed."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable

import harness
from harness.web.library import Stamp

MOST_BYTES = 64 * 2**20
"""Of all pages together; a report is 5 MB, most of it the charts' program."""


class PageCache:
    """The newest pages. They are made one at a time, in a thread: a run may be measured on this machine."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._pages: OrderedDict[Hashable, tuple[Stamp, bytes]] = OrderedDict()
        self._making = asyncio.Lock()
        self.made = 0
        """How many were made, and not found."""

    async def get(self, key: Hashable, stamp: Stamp, make: Callable[[], str]) -> bytes:
        """The page of `key`, made anew where its stamp is another. What `make` raises is not kept."""
        if (known := self._find(key, stamp)) is not None:
            return known
        async with self._making:
            if (known := self._find(key, stamp)) is not None:  # made while we waited
                return known
            page = (await asyncio.to_thread(make)).encode(errors="replace")
            self.made += 1
            self._pages[key] = (stamp, page)
            self._pages.move_to_end(key)
            while len(self._pages) > 1 and sum(len(kept) for _, kept in self._pages.values()) > self._most:
                self._pages.popitem(last=False)
            return page

    def _find(self, key: Hashable, stamp: Stamp) -> bytes | None:
        known = self._pages.get(key)
        if known is None or known[0] != stamp:
            return None
        self._pages.move_to_end(key)
        return known[1]


def tag(key: Hashable, stamp: Stamp) -> str:
    """What a browser asks with whether its copy still holds."""
    return hashlib.sha256(f"{harness.__version__} {key} {stamp}".encode(errors="replace")).hexdigest()[:24]
