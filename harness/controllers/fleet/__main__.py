"""`python -m harness.controllers.fleet`.

Ends with 0 when told to stop, 2 for a wrong switch, 1 when it cannot start or is leader no more.
"""

from __future__ import annotations

import asyncio
import sys

from harness.controllers.fleet.app import StartError, run
from harness.controllers.fleet.options import parse
from harness.controllers.runtime import logs
from harness.controllers.runtime.client import ConfigError


def main() -> int:
    """Parse, run, and turn what can go wrong into a line and an exit code."""
    options = parse(sys.argv[1:])
    logs.set_up()
    try:
        asyncio.run(run(options))
    except (ConfigError, StartError) as error:
        sys.stderr.write(f"fleet: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
