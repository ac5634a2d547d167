"""A reference controller under a small limit must not carry what the harness needs for itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HEAVY = ("duckdb", "plotly", "numpy", "scipy", "pydantic", "rich", "typer", "locust")


def _loaded(module: str) -> set[str]:
    code = f"import {module}, sys; print(' '.join(m for m in {_HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["harness", "harness.core.metrics", "harness.controllers.fleet"])
def test_is_cheap_to_import(module: str) -> None:
    assert _loaded(module) - {"pydantic"} == set()  # kubernetes.aio brings pydantic along


def test_the_check_sees_what_is_heavy() -> None:
    assert "duckdb" in _loaded("harness.record.tables")
