"""Build tools end in time, and their last words are heard."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentFault
from harness.toolchain.run import run


def start(script: str, tmp_path: Path, timeout_s: float = 20) -> list[str]:
    env = {"PATH": os.defpath}
    return asyncio.run(
        run(["sh", "-c", script], name="tool", env=env, cwd=tmp_path, timeout_s=timeout_s, remedy="mend it")
    )


def test_both_streams_in_order(tmp_path: Path) -> None:
    assert start("echo one; echo two >&2; echo three", tmp_path) == ["one", "two", "three"]


def test_failure(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"^tool failed \(exit code 3\): oh no; mend it$"):
        start("echo oh no; exit 3", tmp_path)


def test_deadline(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"^tool did not finish within 3 s: begun; mend it$"):
        start("echo begun; sleep 60", tmp_path, 3)
