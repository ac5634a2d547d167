"""The stream: order, completeness, bounds. A real pipe, in this process: nothing here is monkey-patched."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.socket import wait_read

from loadgen import stream as module
from loadgen.stream import Stream


class Pipe:
    """A pipe whose ends are closed once each."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self._open = {self.reader, self.writer}

    def close(self, fd: int) -> None:
        if fd in self._open:
            self._open.remove(fd)
            os.close(fd)

    def lines(self) -> list[dict[str, Any]]:
        self.close(self.writer)
        with open(self.reader, "rb", closefd=False) as source:
            return [json.loads(line) for line in source]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close(made.reader)
    made.close(made.writer)


def test_rows_stand_before_the_line_emitted_after_them(pipe: Pipe) -> None:
    stream = Stream(pipe.writer, pytest.fail)
    for number in range(3 * module.ROWS_PER_LINE + 1):
        stream.row(["a", number])
    stream.emit({"type": "phase"})
    stream.row(["b", 0])
    assert stream.close(5.0)
    lines = pipe.lines()
    assert [line["type"] for line in lines] == ["requests"] * 4 + ["phase", "requests"]
    rows = [row for line in lines for row in line.get("rows", [])]
    assert rows == [["a", number] for number in range(3 * module.ROWS_PER_LINE + 1)] + [["b", 0]]


def test_a_line_fits_into_asyncios_readers(pipe: Pipe) -> None:
    stream = Stream(pipe.writer, pytest.fail)
    time_ns = 10**15
    row = [
        "p" * 60,
        4096,
        8,
        time_ns,
        time_ns,
        time_ns,
        "create",
        "Cluster.management.cattle.io",
        "n" * 63,
        500,
        "é" * 200,
    ]
    for _ in range(module.ROWS_PER_LINE):
        stream.row([*row, 10**7])
    written = b""
    while not written.endswith(b"\n"):
        wait_read(pipe.reader)
        written += os.read(pipe.reader, 65536)
    assert len(written) < 65536
    assert stream.close(5.0)


def test_workers_wait_while_the_reader_is_far_behind(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_PENDING", 200_000)
    stream = Stream(pipe.writer, pytest.fail)
    waiting = gevent.spawn(stream.wait_for_room)
    waiting.join(5.0)
    assert waiting.ready()
    for _ in range(400):
        stream.emit({"text": "x" * 1000})
    waiting = gevent.spawn(stream.wait_for_room)
    gevent.sleep(0.05)
    assert not waiting.ready()
    read = 0
    while read < 400 * 1011:
        wait_read(pipe.reader)  # a read that blocks would hold up the writer, a greenlet of the same thread
        read += len(os.read(pipe.reader, 65536))
    waiting.join(5.0)
    assert waiting.ready()
    assert stream.close(5.0)


def test_a_reader_that_never_reads_does_not_hold_up_the_end(pipe: Pipe) -> None:
    stream = Stream(pipe.writer, pytest.fail)
    stream.emit({"text": "x" * 1_000_000})
    assert not stream.close(0.1)


def test_a_reader_that_is_gone_is_told_once(pipe: Pipe) -> None:
    told: list[bool] = []
    stream = Stream(pipe.writer, lambda: told.append(True))
    pipe.close(pipe.reader)
    stream.emit({"text": "x"})
    gevent.sleep(0.05)
    stream.emit({"text": "y"})
    stream.close(5.0)
    assert told == [True]
