"""What `harness claims` keeps on disk: `claims.json`, after each case and point, and whether it may be taken up again."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from harness.core import paths
from harness.core.errors import ExitCode, UsageError
from harness.experiment.options import RunOptions
from harness.gate import claims_lines, published, published_curves
from harness.gate.published import CURVES, Case, CurveSpec
from harness.record import owner
from harness.record.claims import Claims, Profile
from harness.record.reader import parse_model
from harness.record.writer import write_atomically

FILE = "claims.json"


def directory(out: Path, profile: str) -> Path:
    """Where the result of a profile is kept."""
    return paths.experiments_dir(out) / f"claims-{profile}"


def begin(
    options: RunOptions, profile: Profile, rows: list[int], cases: Sequence[Case], curves: Sequence[CurveSpec], *,
    fresh: bool,
) -> Claims:  # fmt: skip
    """The result as it stands, with these rows to be measured: what they lack, or all of them where they lack nothing.

    What was measured of other rows stays, as long as claims, scenarios and controllers are the same.
    """
    path = directory(options.out, profile) / FILE
    found = fingerprint()
    document = Claims(
        profile=profile, state="running", owner=owner.this_process(), fingerprint=found,
        command=shlex.join(["harness", *sys.argv[1:]]), started_at=datetime.now(UTC), rows=rows,
        exit_code=ExitCode.INTERRUPTED,
    )  # fmt: skip
    known = parse_model(path, Claims) if path.is_file() else None
    if known is not None:
        going_on = known.state == "running" and known.owner is not None and owner.is_alive(known.owner)
        if going_on:
            raise UsageError(
                "these claims are being measured by another harness", place=str(path), remedy="wait for it"
            )
        if known.fingerprint == found:
            anew = set(rows) if fresh or not unmeasured(known, rows, cases, curves) else set[int]()
            document.experiments = {
                case: experiment for case, experiment in known.experiments.items() if published.row_of(case) not in anew
            }
            document.claims = [claim for claim in known.claims if claim.row not in anew]
            document.curves = [curve for curve in known.curves if curve.row not in anew]
            document.rows = sorted({*known.rows, *rows})
            if set(known.rows) - anew:
                document.started_at, document.machine = known.started_at, known.machine
    save(document, options)
    return document


def unmeasured(document: Claims, rows: Sequence[int], cases: Sequence[Case], curves: Sequence[CurveSpec]) -> set[int]:
    """Which of these rows lack a case's pairs or a point of a curve."""
    judged = {claim.id.partition("/")[0] for claim in document.claims if claim.reason != "interrupted"}
    points = {
        (curve.id, line.name, point.x) for curve in document.curves for line in curve.lines for point in line.points
    }
    lacking = {case.row for case in cases if case.id not in judged}
    lacking |= {
        curve.row for curve in curves for line in curve.lines for x in curve.points
        if (curve.id, line, float(x)) not in points
    }  # fmt: skip
    return lacking & set(rows)


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
