"""`python -m loadgen PLAN.json`: see docs/architecture.md, "Load generator".

Exit codes: 0 told to stop (or nobody reads any more), 2 wrong usage or plan, 70 a bug of ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gevent import monkey

monkey.patch_all()


USAGE = 2


def main() -> int:
    """Run the load generator; returns its exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m loadgen PLAN.json\n")
        return USAGE
    # Only now: whatever imports ssl or threading before the patch keeps the blocking forms.
    from loadgen.process import run

    return run(Path(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
