"""A process of anybody's, profiled for a while: attach, wait, detach, read. What `harness profile --pid` does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.collectors.attach import container, threads
from harness.collectors.attach.entry import into_record
from harness.collectors.attach.session import DEADLINE_S, Attachment
from harness.collectors.attach.target import examine
from harness.collectors.memray_report import captures_folder, publish
from harness.core.errors import RunFault
from harness.core.handles import Progress

_LOOK_S = 0.25


@dataclass(slots=True)
class Recording:
    """What came of it. `event` is that of a run's record (docs/record.md), its paths relative to `folder`."""

    pid: int
    folder: Path
    how: str
    stopped_s: float
    attached_s: float
    """How long attaching took, with all checks."""
    tracked_s: float
    main: str | None
    ended: bool
    """The process ended while it was tracked; the capture goes up to then."""
    event: dict[str, Any]
    warnings: list[str] = field(default_factory=list)


class Notes:
    """A sink of which only warnings matter: there is no run. Who has one keeps more of it."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def event(self, type_: str, /, **fields: object) -> None:
        if type_ == "warning":
            self.warnings.append(str(fields["message"]))

    def sample(self, *_: object, **__: object) -> None:
        raise AssertionError("nobody samples here")

    requests = propagation = sample


async def record(
    pid: int,
    seconds: float,
    folder: Path,
    progress: Progress,
    stop: asyncio.Event,
    *,
    deadline_s: float = DEADLINE_S,
    notes: Notes | None = None,
    name: str | None = None,
    pod: container.Shared | None = None,
) -> Recording:
    """Track process `pid` for `seconds`, or until `stop` is set or it ends, and write what is found to `folder`.

    `notes` are told `attach`, `detach` and `memray` as they come. `name` is that of the capture, without its suffix. `pod`: the
    process is in one, which shares this with us.
    Raises HarnessErrors: of `examine` and `Attachment.attach`, and where the capture cannot be read.
    """
    notes = notes or Notes()
    began = time.monotonic()
    progress.step(f"looking at process {pid}")
    folder = await asyncio.to_thread(folder.absolute)
    file = f"{name or f'memray-{pid}'}.bin"
    if pod is None:
        profiles = captures_folder(folder / "profiles", notes)
        target, inside = await examine(pid, profiles, progress), ""
    else:
        profiles = captures_folder(pod.captures.here / "profiles", notes)
        profiles.chmod(0o777)  # as `Launch.folder`: the folder above is closed to everybody else
        target = await container.supplied(pid, pod.tools, progress)
        inside = f"{pod.captures.there}/profiles/{file}"
    progress.step("attaching memray")
    capture = profiles / file
    attachment = await Attachment.attach(target, capture, deadline_s=deadline_s, inside=inside)
    attached = time.monotonic()
    notes.event("attach", pid=pid, how=attachment.how, stopped_s=attachment.stopped_s, took_s=attached - began)
    ended = False
    stopped = asyncio.ensure_future(stop.wait())
    try:
        progress.step(f"tracking allocations for {seconds:g} s; Ctrl-C ends it earlier")
        while (left := attached + seconds - time.monotonic()) > 0 and not stop.is_set() and not ended:
            await asyncio.wait({stopped}, timeout=min(left, _LOOK_S))
            ended = not threads.of(pid)
    finally:
        tracked = time.monotonic() - attached
        stopped.cancel()
        try:
            await asyncio.shield(attachment.detach())
        except RunFault:
            ended = not threads.of(pid)
            if not ended:
                raise
        finally:
            notes.event("detach", pid=pid, seconds=tracked)
    progress.step("reading the capture")
    capture = await asyncio.to_thread(into_record, capture, folder)
    event = await publish(capture, folder, notes, killed=ended, pid=pid)
    proof = attachment.proof
    return Recording(
        pid=pid, folder=folder, how=attachment.how, stopped_s=attachment.stopped_s, attached_s=attached - began,
        tracked_s=tracked, main=proof.main if proof else None, ended=ended, event=event, warnings=notes.warnings,
    )  # fmt: skip
