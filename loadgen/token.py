"""A bearer token from a file that somebody else renews."""

from __future__ import annotations

import time
from pathlib import Path

from loadgen.fields import PlanError

FRESH_S = 10.0
"""How long what was read is taken for what is there; tokens are renewed long before they expire."""


class Token:
    """The header line of a token file, or none where the plan names no file. Raises PlanError for one that cannot be read."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._line = ""
        self._read_at = 0.0
        if self._path is not None:
            try:
                self._read(self._path)
            except OSError as fault:
                raise PlanError(f"plan.token_file: {path} cannot be used: {fault.strerror or fault}") from fault

    def header(self) -> str:
        """`Authorization: Bearer …` with its end of line; empty where there is no token."""
        if self._path is not None and time.monotonic() - self._read_at > FRESH_S:
            try:
                self._read(self._path)
            except OSError:  # it is being replaced, or the run is over: what was read last is still the best there is
                self._read_at = time.monotonic()
        return self._line

    def _read(self, path: Path) -> None:
        self._line = f"Authorization: Bearer {path.read_text(encoding='ascii').strip()}\r\n"
        self._read_at = time.monotonic()
