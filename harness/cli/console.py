"""Where the command line prints. A reader that goes away (`| head`) is no failure, and ends no run."""

from __future__ import annotations

import os

from rich.console import Console

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
