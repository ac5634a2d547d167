"""Ports for tests."""

from __future__ import annotations

from harness.process import ports


def claim_pair() -> int:
    """A free port, the next of which is free too: a gate takes both."""
    while True:
        port = ports.claim_port()
        if ports.is_free(port + 1) and ports._claim(port + 1):
            return port
