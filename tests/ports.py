"""Ports for tests."""

from __future__ import annotations

from harness.process.ports import claim_port, is_free


def claim_pair() -> int:
    """A free port, the next of which is free too: a gate takes both."""
    while not is_free((port := claim_port()) + 1):
        pass
    return port
