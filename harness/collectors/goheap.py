"""The heap profile of a Go subject, kept at the end of each run: which code holds what was settled.

It is taken when nothing is measured any more, without a collection of its own: Go's heap profile is as of the last one, which
was forced when the system was at rest. Of its stacks a form is kept that is read without pprof (`core.stacks`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from harness.collectors.gopull import HEAP, fetch
from harness.collectors.goruntime import page
from harness.core import stacks
from harness.core.errors import HarnessError
from harness.core.handles import RunContext

EVENT = "heap_profile"
_NAME = "heap-{when}"


async def keep(context: RunContext, when: str) -> None:
    """Write `profiles/heap-WHEN.pprof`, its stacks, and the event. What fails is a warning: no figure depends on it."""
    subject = context.subject
    if subject.pprof_url is None or subject.ending() is not None or len(subject.replicas) > 1:
        return
    directory = context.run_dir / "profiles"
    path = directory / f"{_NAME.format(when=when)}.pprof"
    kept = path.with_suffix(stacks.SUFFIX)
    try:
        raw = await fetch(page(subject.pprof_url, HEAP.kind))
        directory.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(_write, raw, path, kept)
    except (HarnessError, ValueError, OSError) as error:
        if subject.ending() is None:  # one that has ended cannot answer, and that is told elsewhere
            context.sink.event("warning", source="tasks", message=f"no heap profile was kept: {error}")
        return
    context.sink.event(
        EVENT,
        when=when,
        file=f"profiles/{path.name}",
        stacks=f"profiles/{kept.name}",
    )


def _write(raw: bytes, path: Path, kept: Path) -> None:
    path.write_bytes(raw)
    from harness.collectors import captures  # what reads pprof: only for Go subjects

    stacks.dump(replace(captures.heap(path), source=path.name), kept)
