"""memray put into a subject of a run: into a process of this machine, or into one in a pod through what it shares with us."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.collectors.attach import container
from harness.collectors.attach.session import Attachment
from harness.collectors.attach.target import examine, inspect
from harness.collectors.memray_report import captures_folder
from harness.core.errors import EnvironmentFault, HarnessError, RunFault, UsageError
from harness.core.handles import Launch, Progress
from harness.toolchain import inject


def refusal(launch: Launch) -> HarnessError | None:
    """Why memray cannot be attached to such a subject; None where it can, as far as is known beforehand."""
    if launch.apart is not None:
        return EnvironmentFault(
            f"memray cannot be attached to a subject in a pod here: {launch.apart}", remedy="use --subject-as process"
        )
    return None


async def prepare(launch: Launch, progress: Progress) -> Path:
    """What takes minutes, once, and must be there before the subject starts; the folder for captures."""
    assert launch.python is not None
    side = await inject.ensure(launch.python, progress)
    if not launch.in_pod:
        return captures_folder(launch.run_dir / "profiles", launch.sink)
    if side not in launch.inject_dirs:  # it cannot be brought to where the pod sees it later
        launch.inject_dirs.append(side)
    return captures_folder(launch.folder("profiles"), launch.sink)


async def enter(
    launch: Launch, pids: Sequence[int], capture: Path, progress: Progress, *, objects: bool = False
) -> Attachment:
    """Attach to the subject's Python process of those. Raises as `target.examine` and `Attachment.attach` do."""
    if not launch.in_pod:
        target = await examine(python_of(pids), capture.parent, progress)
        return await Attachment.attach(target, capture, objects=objects)
    if not pids:
        raise EnvironmentFault(
            "the processes of the pod are not seen from this machine", remedy="use --memray launch for this cluster"
        )
    target = await container.examine(python_of(pids, contained=True))
    return await Attachment.attach(target, capture, objects=objects, inside=launch.inside(capture))


def python_of(pids: Sequence[int], *, contained: bool = False) -> int:
    """The process to attach to: the subject's main one, or the first Python below a wrapper such as `uv run`."""
    if not pids:
        raise RunFault("the subject has ended")
    for pid in pids:
        with contextlib.suppress(UsageError):
            inspect(pid, contained=contained)
            return pid
    return pids[0]


def into_record(capture: Path, run_dir: Path) -> Path:
    """A capture that was written into a folder shared with a pod, as a file of the record."""
    if capture.is_relative_to(run_dir) or not capture.is_file():
        return capture
    profiles = run_dir / "profiles"
    profiles.mkdir(exist_ok=True)
    return Path(shutil.copy(capture, profiles))
