"""The tool that takes a machine away from a command: what it runs, and how it ends. Here it takes nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


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


NOTICES = """
import sys, time
end = last = time.monotonic()
end += 60
while last < end:
    now = time.monotonic()
    if now - last > 0.3:
        sys.exit(3)
    last = now
    time.sleep(0.01)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_the_command_starts_stands_still_and_is_let_go_again() -> None:
    shell = [sys.executable, "-m", "tests.disturb", "--share", "0", "--cold", "600", "--stop", "1"]
    within = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", NOTICES]
    assert subprocess.run([*shell, "--", *within], timeout=120).returncode == 3, "it noticed, and could go on to say so"
