"""What `harness claims` keeps on disk: `claims.json`, after each case and point, and whether it may be taken up again."""

from __future__ import annotations

import hashlib
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from harness.core import paths
from harness.core.errors import ExitCode, UsageError
from harness.experiment.options import RunOptions
from harness.gate import claims_lines, published, published_curves
from harness.gate.published import CURVES
from harness.record import owner
from harness.record.claims import Claims, Profile
from harness.record.reader import parse_model
from harness.record.writer import write_atomically

FILE = "claims.json"


def directory(out: Path, profile: str) -> Path:
    """Where the result of a profile is kept."""
    return paths.experiments_dir(out) / f"claims-{profile}"


def begin(options: RunOptions, profile: Profile, rows: list[int], *, fresh: bool) -> Claims:
    """The result as it stands: taken up where it was interrupted, else a new one."""
    path = directory(options.out, profile) / FILE
    found = fingerprint()
    if path.is_file() and not fresh:
        known = parse_model(path, Claims)
        going_on = known.state == "running" and known.owner is not None and owner.is_alive(known.owner)
        if going_on:
            raise UsageError(
                "these claims are being measured by another harness", place=str(path), remedy="wait for it"
            )
        if known.state != "complete" and known.fingerprint == found and known.rows == rows:
            known.state, known.owner = "running", owner.this_process()
            return known
    document = Claims(
        profile=profile, state="running", owner=owner.this_process(), fingerprint=found,
        command=shlex.join(["harness", *sys.argv[1:]]), started_at=datetime.now(UTC), rows=rows,
        exit_code=ExitCode.INTERRUPTED,
    )  # fmt: skip
    save(document, options)
    return document


def save(document: Claims, options: RunOptions) -> None:
    """Write it, with slopes and predictions of the points that there are."""
    claims_lines.conclude(document, CURVES, claims_lines.cases())
    path = directory(options.out, document.profile) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, document.model_dump_json(by_alias=True, indent=1) + "\n")


def fingerprint() -> str:
    """Of all that a figure depends on and that can change between two days: claims, scenarios, controllers."""
    package = paths.scenarios_dir().parent
    files = [Path(published.__file__), Path(published_curves.__file__), *sorted(package.glob("scenarios/**/*.yaml"))]
    for suffix in ("py", "go", "mod", "rs", "toml", "txt"):
        files += sorted(package.glob(f"controllers/**/*.{suffix}"))
    found = hashlib.sha256()
    for path in files:
        found.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()
