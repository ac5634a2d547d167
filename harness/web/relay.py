"""The metrics of the API server and of etcd for a Prometheus that has neither a certificate nor a way into a private directory.

Each question is passed on as it comes, with the identity by which the harness itself reads them. Nothing else can be asked for.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

from harness.cluster.embedded import EmbeddedCluster
from harness.core.errors import HarnessError
from harness.core.handles import RunContext
from harness.kube.kubeconfig import client_files

ASK_S = 8.0
"""Seconds for an answer: less than a Prometheus waits."""
_MOST_BYTES = 64 << 20


class Relay:
    """What can be asked on behalf of a Prometheus, by name; at most one question to each at a time."""

    def __init__(self, context: RunContext) -> None:
        self._kubeconfig = context.watcher_kubeconfig if context.cluster.server else None
        self._etcd = context.cluster.etcd_socket if isinstance(context.cluster, EmbeddedCluster) else None
        self._asking = {name: threading.Lock() for name in self.names}

    @property
    def names(self) -> list[str]:
        """Who can be asked here."""
        known = {"apiserver": self._kubeconfig, "etcd": self._etcd}
        return [name for name, there in known.items() if there is not None]

    def ask(self, name: str) -> bytes:
        """The text of its /metrics. Raises OSError or HTTPException where it cannot be had, KeyError for nobody known."""
        with self._asking[name]:
            if name == "etcd":
                assert self._etcd is not None
                return _read(_UnixConnection(self._etcd), {})
            assert self._kubeconfig is not None
            return _of_apiserver(self._kubeconfig)


def _of_apiserver(kubeconfig: Path) -> bytes:
    try:
        files = client_files(kubeconfig)
    except HarnessError as error:
        raise OSError(str(error)) from error
    context = ssl.create_default_context(cafile=str(files.ca_file))
    headers = {}
    if files.token_file is not None:
        headers["Authorization"] = f"Bearer {files.token_file.read_text().strip()}"
    else:
        context.load_cert_chain(str(files.cert_file), str(files.key_file))
    parts = urlsplit(files.server)
    assert parts.hostname is not None
    return _read(
        http.client.HTTPSConnection(parts.hostname, parts.port or 443, timeout=ASK_S, context=context), headers
    )


def _read(connection: http.client.HTTPConnection, headers: dict[str, str]) -> bytes:
    try:
        connection.request("GET", "/metrics", headers={"Accept": "text/plain", **headers})
        answer = connection.getresponse()
        body = answer.read(_MOST_BYTES)
        if answer.status != http.client.OK:
            raise OSError(f"answered with status {answer.status}")
        return body
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=ASK_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(ASK_S)
        self.sock.connect(str(self._path))
