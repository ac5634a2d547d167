"""The secret that a master and its load workers of other machines share, in a file. No gevent here: the harness reads it, too."""

from __future__ import annotations

from pathlib import Path

from loadgen.fields import PlanError

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
