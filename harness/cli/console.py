"""Where the command line prints. A reader that goes away (`| head`) is no failure, and ends no run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from pydantic import BaseModel

_WIDTH_OF_A_LOG = 140


class CliConsole(Console):
    """A Rich console for people; in a log, which has no width of its own, lines may be longer than 80."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = _WIDTH_OF_A_LOG

    def on_broken_pipe(self) -> None:
        """Go on in silence. Rich would exit with 1, the code of a failed expectation, in the middle of a run too."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def tell(
    found: BaseModel, render: Callable[[], None], files: Iterable[Path | None], console: Console, *, json: bool
) -> None:
    """A result as JSON on stdout; or for people, as `render` prints it, and the files that hold it."""
    if json:
        sys.stdout.write(found.model_dump_json(by_alias=True) + "\n")
        return
    console.print()
    render()
    console.print()
    for file in filter(None, files):
        console.print(f"  {file}", soft_wrap=True, markup=False)
