"""The bounds of a subject's log."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from harness.subject.log import LogKeeper
from tests.collecting import ListSink


def write(fd: int, first: int, last: int) -> None:
    """Numbered lines of ten bytes, as a subject appends them."""
    os.write(fd, b"".join(b"%09d\n" % number for number in range(first, last)))


def test_the_newest_lines_stay_and_the_loss_is_told(tmp_path: Path) -> None:
    async def body() -> ListSink:
        sink, log = ListSink(), tmp_path / "subject.log"
        keeper = LogKeeper(log, 2000, sink)
        fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        keeper.start()
        write(fd, 0, 100)  # 1000 bytes: half the limit may stand
        keeper.look()
        assert log.stat().st_size == 1000
        write(fd, 100, 120)
        keeper.look()
        assert (log.read_bytes(), keeper.dropped_bytes) == (b"", 200)
        write(fd, 120, 230)
        keeper.look()
        write(fd, 230, 240)
        await keeper.close()
        await keeper.close()
        os.close(fd)
        kept = (keeper.older.read_text() + log.read_text()).split()
        assert kept == [f"{number:09d}" for number in range(130, 240)]
        assert keeper.dropped_bytes == 1300
        assert keeper.older.stat().st_mode & 0o077 == 0
        return sink

    assert asyncio.run(body()).warnings == ["subject.log lacks its oldest 1.3 KiB: log_limit is 2.0 KiB"]


def test_a_log_within_its_bounds_is_left_alone(tmp_path: Path) -> None:
    async def body() -> ListSink:
        sink, log = ListSink(), tmp_path / "subject.log"
        log.write_text("short\n")
        keeper = LogKeeper(log, 2000, sink)
        keeper.look()
        await keeper.close()
        assert log.read_text() == "short\n"
        assert not keeper.older.exists()
        return sink

    assert asyncio.run(body()).events == []
