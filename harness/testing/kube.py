"""An embedded cluster for a session of tests, and a clean namespace of it for each."""

from __future__ import annotations

import asyncio
import secrets
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from harness.cluster import embedded
from harness.cluster.embedded import EmbeddedCluster
from harness.core import ids
from harness.core.errors import UsageError
from harness.kube.api import Api
from harness.kube.discovery import NAMESPACE

START_S, STOP_S, CALL_S = 3600.0, 60.0, 60.0
"""The first start on a machine builds the servers."""
_GONE_S = 120.0

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Kube:
    """A real API server for one test, and a namespace that is the test's alone and is deleted after it.

    What a test makes outside its namespace (CRDs, cluster roles) stays until the end of the session.
    """

    kubeconfig: Path
    """An administrator's, mode 0600; for KUBECONFIG, `--kubeconfig` or any client library."""
    namespace: str
    server: str
    version: str
    """The API server's, such as `v1.36.3`."""
    _do: Callable[[Callable[[Api], Coroutine[Any, Any, Any]]], Any]

    @property
    def env(self) -> dict[str, str]:
        """What tells a controller where the cluster is: KUBECONFIG."""
        return {"KUBECONFIG": str(self.kubeconfig)}

    def apply(self, manifest: Mapping[str, Any] | str | Path) -> list[dict[str, Any]]:
        """Create objects or change them to this (server-side apply), in the test's namespace unless they name one.

        An object, YAML text, or the path of a YAML file; with several documents in their order. Raises ApiError.
        """

        async def apply(api: Api) -> list[dict[str, Any]]:
            return [await api.apply(item, self.namespace) for item in _documents(manifest)]

        found: list[dict[str, Any]] = self._do(apply)
        return found

    def get(self, api_version: str, kind: str, name: str) -> dict[str, Any]:
        """An object of the test's namespace, or of the cluster, as it is now. Raises ApiError, 404 where there is none."""

        async def ask(api: Api) -> dict[str, Any]:
            found = await api.discovery.kind(api_version, kind)
            return await api.get(found, name, self.namespace if found.namespaced else None)

        result: dict[str, Any] = self._do(ask)
        return result


class Session:
    """One embedded cluster in a thread of its own: whatever event loop a test runs, the servers belong to this one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, cluster: EmbeddedCluster) -> None:
        self._loop = loop
        self._cluster = cluster

    @contextmanager
    def kube(self) -> Iterator[Kube]:
        """A namespace of its own for the time of a test."""
        name = f"test-{secrets.token_hex(4)}"
        self._do(lambda api: api.ensure_namespace(name))
        try:
            yield Kube(self._cluster.kubeconfig, name, self._cluster.server, self._cluster.version, self._do)
        finally:
            self._do(lambda api: _remove(api, name), _GONE_S + CALL_S)

    def _do(self, question: Callable[[Api], Coroutine[Any, Any, _T]], timeout_s: float = CALL_S) -> _T:
        async def ask() -> _T:
            async with await Api.connect(self._cluster.kubeconfig) as api:
                return await question(api)

        return asyncio.run_coroutine_threadsafe(ask(), self._loop).result(timeout_s)


@contextmanager
def session(work_dir: Path) -> Iterator[Session]:
    """Start the cluster, and stop it and its thread at the end. Raises EnvironmentFault where it does not come up."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="harness-kube", daemon=True)
    thread.start()
    try:
        starting = embedded.start(name="pytest", work_dir=work_dir, run_id=ids.new_run_id(), progress=_Said())
        cluster = asyncio.run_coroutine_threadsafe(starting, loop).result(START_S)
        try:
            yield Session(loop, cluster)
        finally:
            asyncio.run_coroutine_threadsafe(cluster.stop(), loop).result(STOP_S)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(STOP_S)
        loop.close()


class _Said:
    """Progress to stderr: pytest keeps it for a test that fails, and shows it with `-s`."""

    def step(self, text: str) -> None:
        sys.stderr.write(f"harness: {text}\n")

    def detail(self, text: str) -> None:
        """Too much for a log."""


async def _remove(api: Api, namespace: str) -> None:
    await api.delete(NAMESPACE, namespace)
    await api.wait_namespace_gone(namespace, _GONE_S)


def _documents(manifest: Mapping[str, Any] | str | Path) -> list[Mapping[str, Any]]:
    if isinstance(manifest, Mapping):
        return [manifest]
    place = str(manifest) if isinstance(manifest, Path) else "the manifest"
    try:
        text = manifest.read_text() if isinstance(manifest, Path) else manifest
        found = [item for item in yaml.safe_load_all(text) if item is not None]
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"cannot be read: {error}", place=place) from None
    for item in found:
        if not (isinstance(item, dict) and {"apiVersion", "kind", "metadata"} <= item.keys()):
            raise UsageError("an object has apiVersion, kind and metadata", place=place)
    return found
