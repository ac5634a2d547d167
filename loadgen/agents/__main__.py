"""`python -m loadgen.agents PLAN.json`: see docs/architecture.md, "Fake agents". Exit codes are those of `python -m loadgen`."""

from __future__ import annotations

import sys
from pathlib import Path

from gevent import monkey

monkey.patch_all()

USAGE = 2


def main() -> int:
    """Play the agents until told to stop; returns the exit code."""
    match sys.argv[1:]:
        case [plan] if not plan.startswith("--"):
            from loadgen.agents.process import run  # imported only now: after the patch

            return run(Path(plan))
        case _:
            sys.stderr.write("usage: python -m loadgen.agents PLAN.json\n")
            return USAGE


if __name__ == "__main__":
    sys.exit(main())
