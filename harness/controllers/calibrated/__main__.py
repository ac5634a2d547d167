"""`python -m harness.controllers.calibrated`: ends with 0 when told to stop, 2 for a wrong switch, 1 when it cannot start."""

from __future__ import annotations

import sys

from harness.controllers.calibrated.app import run
from harness.controllers.calibrated.options import parse
from harness.controllers.runtime import program

if __name__ == "__main__":
    sys.exit(program.main("calibrated", run(parse(sys.argv[1:]))))
