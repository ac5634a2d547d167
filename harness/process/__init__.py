"""Child processes: started under a supervisor, ended with their whole tree, found again after a crash."""

from __future__ import annotations

from subprocess import PIPE, STDOUT

from harness.process.child import Child, Exit, last_words
from harness.process.leftovers import Leftover, LeftoverCgroup, end_leftovers, leftover_cgroups, leftovers
from harness.process.spawn import spawn
from harness.process.supervisor import descendants

__all__ = [
    "PIPE",
    "STDOUT",
    "Child",
    "Exit",
    "Leftover",
    "LeftoverCgroup",
    "descendants",
    "end_leftovers",
    "last_words",
    "leftover_cgroups",
    "leftovers",
    "spawn",
]
