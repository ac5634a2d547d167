"""Attaching asks for no debugger: what stands in gdb's place here fails, and a target that lets nobody in is left alone.

(The latter, and a target that dies or a harness that is killed meanwhile: tests/integration/test_attach.py.)
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.collectors.attach.session import Attachment
from harness.collectors.attach.target import examine
from tests.attach_targets import running
from tests.integration.conftest import Printed


def test_attaching_uses_no_debugger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = tmp_path / "called"
    for name in ("gdb", "lldb"):
        (tmp_path / name).write_text(f"#!/bin/sh\ntouch {called}\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    capture = tmp_path / "capture.bin"

    async def look() -> None:
        attachment = await Attachment.attach(await examine(target.pid, tmp_path, Printed()), capture)
        await attachment.detach()

    with running("busy") as target:
        asyncio.run(look())
        assert target.answers()
    assert capture.stat().st_size > 0
    assert not called.exists()
