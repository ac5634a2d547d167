"""Progress of parts whose steps are details of a benchmark's."""

from __future__ import annotations

from harness.core.handles import Progress


class Details:
    """Shows the steps of a part as details of the step in which it is used."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def step(self, text: str) -> None:
        """See `Progress`."""
        self._progress.detail(text)

    def detail(self, text: str) -> None:
        """See `Progress`."""
        self._progress.detail(text)
