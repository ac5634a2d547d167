"""One embedded cluster for all integration tests of a session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.cluster import embedded as provider
from harness.cluster.embedded import EmbeddedCluster


class Printed:
    """Progress into pytest's captured output."""

    def step(self, text: str) -> None:
        print(text)

    def detail(self, text: str) -> None:
        print(f"  {text}")


@pytest.fixture(scope="session")
def cluster_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread: children belong to the loop that started them, and each test runs one of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="embedded-cluster")
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@contextmanager
def started(loop: asyncio.AbstractEventLoop, work_dir: Path, run_id: str) -> Iterator[EmbeddedCluster]:
    """An embedded cluster in `loop`, stopped at the end."""
    starting = provider.start(name="tests", work_dir=work_dir, run_id=run_id, progress=Printed())
    cluster = asyncio.run_coroutine_threadsafe(starting, loop).result(timeout=3600)
    try:
        yield cluster
    finally:
        asyncio.run_coroutine_threadsafe(cluster.stop(), loop).result(timeout=60)


@pytest.fixture(scope="session")
def embedded(
    cluster_loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedCluster]:
    with started(cluster_loop, tmp_path_factory.mktemp("embedded"), "20260101-000000-tests") as cluster:
        yield cluster
