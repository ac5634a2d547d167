"""`python -m harness.controllers.fleet`.

Ends with 0 when told to stop, 2 for a wrong switch, 1 when it cannot start or is leader no more.
"""

from __future__ import annotations

import sys

from harness.controllers.fleet.app import run
from harness.controllers.fleet.options import parse
from harness.controllers.runtime import program

if __name__ == "__main__":
    sys.exit(program.main("fleet", run(parse(sys.argv[1:]))))
