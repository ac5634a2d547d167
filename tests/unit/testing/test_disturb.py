"""The tool that takes a machine away from a command: what it runs, and how it ends. Here it takes nothing."""

from __future__ import annotations

import os
import subprocess
import sys


def test_it_ends_with_its_command_or_says_what_it_needs() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.disturb",
        "--share",
        "0",
        "--cold",
        "600",
        "--",
        "sh",
        "-c",
        "echo ran; exit 3",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if os.geteuid() == 0:
        assert (done.returncode, done.stdout) == (3, "ran\n"), done.stderr
    else:
        assert (done.returncode, done.stdout) == (2, "")
        assert "needs root" in done.stderr
