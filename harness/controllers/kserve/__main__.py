"""`python -m harness.controllers.kserve`: ends with 0 when told to stop, 2 for a wrong switch, 1 when it cannot start."""

from __future__ import annotations

import sys

from harness.controllers.kserve.app import run
from harness.controllers.kserve.options import parse
from harness.controllers.runtime import program

if __name__ == "__main__":
    sys.exit(program.main("kserve", run(parse(sys.argv[1:]))))
