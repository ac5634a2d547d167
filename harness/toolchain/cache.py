"""Things made once: by one process at a time, and either whole or not there."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from harness.core.errors import EnvironmentFault
from harness.core.handles import Progress

_POLL_S = 0.2
_WAIT_LIMIT_S = 2 * 3600.0
"""Longer than any build: a holder of the lock that is gone has released it."""


async def once(target: Path, progress: Progress, make: Callable[[Path], Awaitable[None]]) -> Path:
    """`target`, a directory; if it is not there, `make` fills an empty one that then becomes it.

    A second process waits for the first and says so. What `make` leaves behind when it fails or is killed is removed.
    Raises EnvironmentFault if the cache cannot be written, and what `make` raises.
    """
    if _there(target):
        return target
    try:
        lock = _prepare(target)
        async with _locked(lock, progress):
            if _there(target):
                return target
            made = _fresh(target)
            try:
                await make(made)
                _publish(made, target)
            finally:
                shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise EnvironmentFault(
            f"the cache cannot be written: {error.strerror or error}",
            place=str(error.filename or target),
            remedy="make room, or set HARNESS_CACHE to another directory",
        ) from error
    return target


def _there(target: Path) -> bool:
    return target.is_dir()


def _prepare(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.with_name(f".{target.name}.lock")


def _fresh(target: Path) -> Path:
    """An empty directory beside the target; those of makers that were killed go. Needs the lock."""
    prefix = f".{target.name}.making-"
    for abandoned in target.parent.glob(f"{prefix}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))


def _publish(made: Path, target: Path) -> None:
    made.chmod(0o755)
    made.rename(target)


@asynccontextmanager
async def _locked(path: Path, progress: Progress) -> AsyncIterator[None]:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            async with asyncio.timeout(_WAIT_LIMIT_S):
                while not _try_lock(handle):
                    holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "unknown"
                    progress.detail(f"waiting for another process that is at it (pid {holder})")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise EnvironmentFault("the lock is held for hours", place=str(path), remedy="end its holder") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)  # releases the lock; the file stays, or two could hold locks on two files of one name


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
