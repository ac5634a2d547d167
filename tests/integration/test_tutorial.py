"""The tutorial as a reader follows it: its blocks marked `run` are executed in order, in a folder of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.process import leftovers
from harness.record.reader import RunRecord

LIMIT_S = 800
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(LIMIT_S + 60)]  # three whole runs

_REPOSITORY = Path(__file__).resolve().parents[2]
_PAGE = _REPOSITORY / "docs" / "tutorial.md"
_BLOCK = re.compile(r"^```sh run(?: exits=(?P<code>\d+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def _follow(directory: Path) -> None:
    """Execute the marked blocks; each must exit as the page says."""
    programs = directory / "bin"
    programs.mkdir()
    for name, module in (("harness", "-m harness.cli.main"), ("python", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (programs / name).chmod(0o755)
    path = os.pathsep.join([str(programs), os.environ["PATH"]])
    paths = os.pathsep.join(filter(None, [str(_REPOSITORY), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PATH": path, "PYTHONPATH": paths}
    blocks = list(_BLOCK.finditer(_PAGE.read_text()))
    assert len(blocks) >= 3
    for block in blocks:
        text = block["text"].replace("docs/examples", f"{_REPOSITORY}/docs/examples")
        done = subprocess.run(
            ["bash", "-c", text], capture_output=True, text=True, timeout=LIMIT_S, cwd=directory, env=env
        )
        assert done.returncode == int(block["code"] or 0), (text, done.stdout[-3000:], done.stderr[-2000:])


def test_the_reader_finds_the_line_and_the_fix_holds(tmp_path: Path) -> None:
    _follow(tmp_path)
    records = [RunRecord(path.parent) for path in sorted(tmp_path.glob("runs/*/run.json"))]
    killed, mended = records[0], records[-1]
    assert killed.show().results["oom.kills"].value == 1
    page = (killed.path / "oom.md").read_text()
    sites = page.partition("## Allocation sites at the high-water mark")[2]
    assert "controller.py" in sites, "the page must lead to the reader's own code"
    assert mended.show().verdict == "passed"
    assert mended.show().results["oom.kills"].value == 0
    assert mended.show().results["completeness.Secret"].value == 1
    assert [item.command for record in records for item in leftovers(record.run.run_id)] == []
