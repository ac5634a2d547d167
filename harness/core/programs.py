"""What a program's file tells of how it was made."""

from __future__ import annotations

import mmap
from pathlib import Path

_GO_MAGIC = b"\xff Go buildinf:"
_GO_ALIGNMENT = 16


def is_go(program: Path) -> bool:
    """Whether an ELF file holds the build information that Go's linker writes, stripped or not."""
    try:
        with program.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                return False
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                position = data.find(_GO_MAGIC)
                while position >= 0 and position % _GO_ALIGNMENT:  # the words alone may stand in any program
                    position = data.find(_GO_MAGIC, position + 1)
                return position >= 0
    except (OSError, ValueError):
        return False
