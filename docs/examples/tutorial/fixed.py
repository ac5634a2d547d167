"""The controller of docs/tutorial.md, mended: tells how many Secrets there are, how large they are, and how old the oldest is.

It keeps the time at which each Secret was created instead of the Secret.
"""

from __future__ import annotations

import argparse
import time
from datetime import datetime

from kubernetes import client, config, watch
from prometheus_client import Counter, Gauge, start_http_server


class Auditor:
    """What is known of the Secrets in the cluster."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.created: dict[str, datetime] = {}

    def remember(self, secret: client.V1Secret) -> None:
        """A Secret is there, or has changed."""
        uid = secret.metadata.uid
        self.sizes[uid] = sum(len(value) for value in (secret.data or {}).values())
        self.created[uid] = secret.metadata.creation_timestamp

    def forget(self, secret: client.V1Secret) -> None:
        """A Secret is gone."""
        self.sizes.pop(secret.metadata.uid, None)
        self.created.pop(secret.metadata.uid, None)

    def oldest_s(self) -> float:
        """Age of the oldest Secret in seconds, 0 where there is none."""
        created = list(self.created.values())
        return time.time() - min(created).timestamp() if created else 0.0


def main() -> None:
    """Watch until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--metrics-port", type=int, required=True)
    options = parser.parse_args()

    auditor = Auditor()
    Gauge("auditor_secrets", "Secrets there are.").set_function(lambda: len(auditor.sizes))
    Gauge("auditor_bytes", "Their size, in base64.").set_function(lambda: sum(list(auditor.sizes.values())))
    Gauge("auditor_oldest_seconds", "Age of the oldest.").set_function(auditor.oldest_s)
    events = Counter("auditor_events", "Events of the watch.", ["type"])

    config.load_kube_config(options.kubeconfig)
    api = client.CoreV1Api()
    listed = api.list_secret_for_all_namespaces()
    for secret in listed.items:
        auditor.remember(secret)
    start_http_server(options.metrics_port, "127.0.0.1")
    for event in watch.Watch().stream(
        api.list_secret_for_all_namespaces, resource_version=listed.metadata.resource_version
    ):
        events.labels(event["type"]).inc()
        (auditor.forget if event["type"] == "DELETED" else auditor.remember)(event["object"])


if __name__ == "__main__":
    main()
