"""Rounds within a budget of time, so that `make bench` ends in minutes on a slow machine, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator


class Rounds:
    """The numbers 1 to `wanted`, as long as another round like the longest so far would end before `deadline_s`.

    `deadline_s` is a reading of `now`; None: no end but `wanted`. The first round always takes place.
    """

    def __init__(
        self, wanted: int, *, deadline_s: float | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.wanted = wanted
        self.begun = 0
        """How many rounds there have been."""
        self.out_of_time = False
        """Whether the deadline, and nothing else, left rounds undone."""
        self._deadline_s = deadline_s
        self._now = now

    def __iter__(self) -> Iterator[int]:
        longest = 0.0
        while self.begun < self.wanted:
            began = self._now()
            if self.begun and self._deadline_s is not None and began + longest > self._deadline_s:
                self.out_of_time = True
                return
            self.begun += 1
            yield self.begun
            longest = max(longest, self._now() - began)
