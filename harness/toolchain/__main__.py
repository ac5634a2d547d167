"""`python -m harness.toolchain` (`make setup`): build now what later commands need, with visible progress."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.handles import PythonRuntime
from harness.toolchain import controlplane, image, inject, native

_WIDTH = 100


class _Lines:
    """Steps as lines on stderr; details over one another on a terminal, every so often in a log."""

    def __init__(self) -> None:
        self._details = 0

    def step(self, text: str) -> None:
        """One line."""
        self._clear()
        sys.stderr.write(f"{text}\n")

    def detail(self, text: str) -> None:
        """Over the last one on a terminal; in a log, where nothing can be overwritten, one in two hundred."""
        self._details += 1
        if sys.stderr.isatty():
            sys.stderr.write(f"\r  {text[:_WIDTH]:<{_WIDTH}}")
            sys.stderr.flush()
        elif self._details % 200 == 0:
            sys.stderr.write(f"  {text}\n")

    def done(self) -> None:
        """Leave a clean line."""
        self._clear()

    def _clear(self) -> None:
        if self._details and sys.stderr.isatty():
            sys.stderr.write(f"\r{'':<{_WIDTH + 2}}\r")


async def _build() -> None:
    progress = _Lines()
    try:
        await controlplane.ensure(progress)
        if shutil.which("docker") and shutil.which(os.environ.get("KIND_BIN", "kind")):
            await image.packages(progress)
        for name in native.NAMES:
            if (why := await native.lacking(name)) is None:
                await native.ensure(name, progress)
            else:
                progress.step(f"not built: {why}")
        await inject.ensure(PythonRuntime(Path(sys.executable), (sys.version_info[0], sys.version_info[1])), progress)
    finally:
        progress.done()


def main() -> int:
    """Build all; the exit code of the first error."""
    try:
        asyncio.run(_build())
    except HarnessError as error:
        sys.stderr.write(f"harness: {error}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("harness: interrupted; what was compiled is kept and the next try goes on from there\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
