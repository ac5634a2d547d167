"""Ends a subject that hangs at its memory limit: minutes of CPU, stalled answers, no kill and no progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from harness.core.sinks import Sink
from harness.subject.cgroups import major_faults
from harness.subject.ending import THRASH_S, ThrashWatch
from harness.subject.incarnations import Incarnations

_POLL_SECONDS = 1.0
_GRACE_SECONDS = 2.0
_MANY_FAULTS = 1000
"""Fewer page faults in half a minute are no reason to hang."""


class ThrashGuard:
    """Watches one subject. `progress` is any counter that grows with work done, None while unknown."""

    def __init__(self, subject: Incarnations, sink: Sink, progress: Callable[[], float | None]) -> None:
        self._subject = subject
        self._sink = sink
        self._progress = progress
        self._watch = ThrashWatch()

    async def watch(self) -> None:
        """Until cancelled, or until the subject was ended for thrashing."""
        watched, hits, faults = None, 0, None
        while self._subject.ending() is None:
            cgroup = self._subject.cgroup
            if cgroup is None:
                return
            if cgroup is not watched:  # each incarnation has its own
                watched, hits = cgroup, cgroup.limit_hits()
            # Only a limit that is being hit right now makes a subject thrash; it may well rest a little below it.
            before, hits = hits, cgroup.limit_hits()
            usage = cgroup.usage_bytes() if hits > before else 0
            current = self._watch.feed(time.monotonic(), usage, cgroup.limit_bytes, self._progress(), alive=True)
            self._sink.sample("oom", "oom.thrash_seconds", self._watch.longest_s)
            if usage and current == 0:
                faults = major_faults(cgroup.path)
            if current >= THRASH_S:
                self._tell_why(faults, major_faults(cgroup.path))
                self._subject.thrashed_s = current
                await self._subject.stop(_GRACE_SECONDS)
                return
            await asyncio.sleep(_POLL_SECONDS)

    def _tell_why(self, before: int | None, now: int | None) -> None:
        """The kernel does not kill while it finds pages to take away, even where these are at once read again."""
        if before is None or now is None or now - before < _MANY_FAULTS:
            return
        self._sink.event(
            "warning",
            source="oom",
            message=f"while it hung at its memory limit its programs and files were read from disk again, in {now - before:,} "
            "page faults: its memory left no room for code and files that it uses (docs/profiling.md, Killed or hanging)",
        )
