"""`python -m harness.controllers.watcher`: ends with 0 when told to stop, 2 for a wrong switch, 1 when it cannot start."""

from __future__ import annotations

import sys

from harness.controllers.runtime import program
from harness.controllers.watcher.app import run
from harness.controllers.watcher.options import parse

if __name__ == "__main__":
    sys.exit(program.main("watcher", run(parse(sys.argv[1:]))))
