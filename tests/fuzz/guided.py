"""`python -m tests.fuzz.guided TARGET [libFuzzer's options]`: one target, guided by the coverage of our parsers."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["harness", "loadgen", "prometheus_client"]):
    from tests.fuzz.all_targets import TARGETS
from tests.fuzz.property import check


def main() -> None:
    """Fuzz the target that the command line names, from its seeds."""
    target = TARGETS[sys.argv[1]]
    with tempfile.TemporaryDirectory(prefix="harness-corpus-") as corpus:
        for number, content in enumerate(target.seeds):
            Path(corpus, str(number)).write_bytes(content)

        def one(data: bytes) -> None:
            check(target, data.decode(errors="replace") if target.text else data)

        atheris.Setup([sys.argv[0], *sys.argv[2:], "-max_len=4096", f"-artifact_prefix={corpus}/", corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
