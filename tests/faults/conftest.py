"""One embedded cluster for a file whose faults leave it as it was."""

from __future__ import annotations

from tests.integration.conftest import cluster_loop

__all__ = ["cluster_loop"]
