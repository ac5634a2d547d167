"""For all tests."""

from __future__ import annotations

import os

os.environ["HARNESS_ON_BUSY"] = "warn"
"""Tests ask what the harness does, not how fast this machine is; tests of the rule itself say `invalid`."""
