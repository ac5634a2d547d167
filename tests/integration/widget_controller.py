"""The controller of the example in docs/scenarios.md, for its test: standard library, one thread per kind.

A Widget gets a ConfigMap that it owns, then `Ready` and `phase: Done`; a Task is deleted. `--spoil` deletes Widgets too.
"""

from __future__ import annotations

import argparse
import http.client
import json
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.kube.kubeconfig import client_files

GROUP = "/apis/example.com/v1"


class Client:
    """One connection per call: slow, and enough for a test."""

    def __init__(self, kubeconfig: Path) -> None:
        files = client_files(kubeconfig)
        self._address = urlsplit(files.server)
        self._context = ssl.create_default_context(cafile=str(files.ca_file))
        self._context.load_cert_chain(str(files.cert_file), str(files.key_file))

    def open(self, method: str, path: str, body: object = None, type_: str = "application/json") -> Any:
        connection = http.client.HTTPSConnection(
            self._address.hostname or "", self._address.port, context=self._context, timeout=300
        )
        connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": type_})
        return connection.getresponse()

    def call(self, method: str, path: str, body: object = None, type_: str = "application/json") -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.open(method, path, body, type_).read())
        return answer

    def each(self, path: str, handle: Callable[[dict[str, Any]], None]) -> None:
        listed = self.call("GET", path)
        for item in listed["items"]:
            handle(item)
        version = listed["metadata"]["resourceVersion"]
        for line in self.open("GET", f"{path}?watch=true&resourceVersion={version}"):
            event = json.loads(line)
            if event["type"] == "ADDED":
                handle(event["object"])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--spoil", action="store_true")
    options = parser.parse_args()
    client = Client(options.kubeconfig)

    def widget(item: dict[str, Any]) -> None:
        metadata = item["metadata"]
        name, space = metadata["name"], metadata["namespace"]
        path = f"{GROUP}/namespaces/{space}/widgets/{name}"
        owner = {"apiVersion": "example.com/v1", "kind": "Widget", "name": name, "uid": metadata["uid"]}
        made = {"name": f"config-of-{name}", "labels": {"example.com/widget": name}, "ownerReferences": [owner]}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": made}
        client.call("POST", f"/api/v1/namespaces/{space}/configmaps", config)
        status = {"phase": "Done", "conditions": [{"type": "Ready", "status": "True"}]}
        client.call("PATCH", f"{path}/status", {"status": status}, "application/merge-patch+json")
        if options.spoil:
            client.call("DELETE", path)

    def task(item: dict[str, Any]) -> None:
        client.call("DELETE", f"{GROUP}/tasks/{item['metadata']['name']}")

    threading.Thread(target=client.each, args=(f"{GROUP}/tasks", task), daemon=True).start()
    client.each(f"{GROUP}/widgets", widget)


if __name__ == "__main__":
    main()
