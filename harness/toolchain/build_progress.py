"""What a person sees of a build that takes minutes."""

from __future__ import annotations

import asyncio
import time

from harness.core.handles import Progress

_TICK_S = 5.0


class BuildProgress:
    """Turns the output of `go list` and `go build -v` into details of a progress display."""

    def __init__(self, progress: Progress, go: str, program: str) -> None:
        self.total = 0
        """Packages the program consists of. Those in Go's build cache are not compiled again, and not counted."""
        self._progress = progress
        self._program = program
        self._downloaded = 0
        self._compiled = 0
        self._linking = False
        self._started = time.monotonic()
        progress.detail(f"with {go}")

    def downloading(self, line: str) -> None:
        """A line of `go list`."""
        if line.startswith("go: downloading"):
            self._downloaded += 1
            self._progress.detail(f"downloading modules: {self._downloaded}")

    def compiled(self, line: str) -> None:
        """A line of `go build -v`: a package whose compilation has begun; the program itself comes last."""
        if line.startswith("go: "):
            self.downloading(line)
            return
        if " " in line or not line:
            return
        self._compiled += 1
        self._linking = line == self._program
        self._show()

    async def tick(self) -> None:
        """Shows the time from time to time: some packages take half a minute, linking too. Cancel it."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._show()

    def _show(self) -> None:
        if self._linking:
            done = "linking"
        elif self._compiled:
            done = f"{self._compiled} of at most {self.total} packages compiled"
        else:
            done = f"looking through {self.total} packages"
        self._progress.detail(f"{done}, {time.monotonic() - self._started:.0f} s")


class CargoProgress:
    """Turns the output of `cargo build` into details of a progress display."""

    def __init__(self, progress: Progress, cargo: str, most: int) -> None:
        """`most` crates are pinned; some of them are for other systems."""
        self._progress = progress
        self._most = most
        self._downloaded = 0
        self._compiled = 0
        self._started = time.monotonic()
        progress.detail(f"with {cargo}")

    def line(self, line: str) -> None:
        """A line of its output: a crate that is there, or whose compilation has begun."""
        word = line.strip().partition(" ")[0]
        self._downloaded += word == "Downloaded"
        self._compiled += word == "Compiling"
        if word in ("Downloaded", "Compiling"):
            self._show()

    async def tick(self) -> None:
        """Shows the time from time to time. Cancel it."""
        while True:
            await asyncio.sleep(_TICK_S)
            self._show()

    def _show(self) -> None:
        done = f"{self._compiled} of at most {self._most} crates compiled"
        if not self._compiled:
            done = f"downloading crates: {self._downloaded}" if self._downloaded else "looking through the crates"
        self._progress.detail(f"{done}, {time.monotonic() - self._started:.0f} s")
