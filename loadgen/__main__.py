"""`python -m loadgen PLAN.json`: see docs/architecture.md, "Load generator".

`python -m loadgen --join HOST:PORT PLAN.json` is a load worker of the master at that address; `--serve HOST:PORT` one of
another machine, which waits at a master's gate (`--enter`: for one run).
Exit codes: 0 told to stop (or nobody reads any more), 2 wrong usage or plan, 3 a worker without its master, 4 a gate that
does not know us, 70 a bug of ours.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gevent import monkey

monkey.patch_all()


USAGE = 2


def main() -> int:
    """Run the load generator; returns its exit code."""
    # Imported only now: whatever imports ssl or threading before the patch keeps the blocking forms.
    match sys.argv[1:]:
        case ["--join", address, plan] if address.rpartition(":")[2].isdecimal():
            from loadgen.joined import run as join

            host, _, port = address.rpartition(":")
            return join(Path(plan), host, int(port))
        case ["--serve", address] if address.rpartition(":")[2].isdecimal():
            from loadgen.external import serve

            return serve(address)
        case ["--enter", address] if address.rpartition(":")[2].isdecimal():
            from loadgen.external import run as enter

            host, _, port = address.rpartition(":")
            return enter(host, int(port))
        case [plan] if not plan.startswith("--"):
            from loadgen.process import run

            return run(Path(plan))
        case _:
            sys.stderr.write("usage: python -m loadgen [--join HOST:PORT] PLAN.json | --serve HOST:PORT\n")
            return USAGE


if __name__ == "__main__":
    sys.exit(main())
