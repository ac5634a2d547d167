"""The secret that a master and its load workers of other machines share, in a file. No gevent here: the harness reads it, too."""

from __future__ import annotations

import os
from pathlib import Path

from loadgen.fields import PlanError

FILE_ENV = "LOADGEN_SECRET_FILE"
"""Environment variable of a worker: names the file."""
LEAST = 16
"""Characters; `openssl rand -hex 32` makes 64."""


def read(path: Path) -> bytes:
    """The secret in a file. Raises PlanError where there is none, or none to speak of."""
    try:
        secret = path.read_bytes().strip()
    except OSError as fault:
        raise PlanError(f"{path}: the secret of the load workers cannot be read: {fault.strerror}") from fault
    if len(secret) < LEAST:
        raise PlanError(f"{path}: the secret of the load workers has {len(secret)} characters, {LEAST} are the least")
    return secret


def named() -> Path:
    """The file that a worker's environment names. Raises PlanError where it names none."""
    name = os.environ.get(FILE_ENV)
    if not name:
        raise PlanError(f"{FILE_ENV} is not set: it names the file with the secret of the load workers")
    return Path(name)
