"""Admission webhooks of a subject outside the cluster: a certificate for it, and configurations that lead to it.

In a real cluster a Service and a certificate manager do this. Here the API server reaches the subject on loopback, so each
`clientConfig` is rewritten to a URL with the path it names, and trusts the run's own authority.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from harness.core.errors import UsageError
from harness.kube.api import Api
from harness.kube.errors import ApiError
from harness.kube.kubeconfig import write_private
from harness.kube.manifests import load_manifests

KINDS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
HOST = "127.0.0.1"
TEMPORARY = "tmp"
"""In the private directory: what a subject may have as TMPDIR."""
DEFAULT_DIR = Path("k8s-webhook-server", "serving-certs")
"""Where controller-runtime looks below the temporary directory; a program without a switch of its own is bound to it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A serving certificate in a private directory, under the names that controller-runtime looks for."""

    directory: Path
    ca_pem: bytes

    @property
    def files(self) -> dict[str, str]:
        """What the placeholders `{webhook:…}` stand for."""
        names = {"cert": "tls.crt", "key": "tls.key", "ca": "ca.crt"}
        return {
            "dir": str(self.directory),
            **{key: str(self.directory / name) for key, name in names.items()},
            "tmp": str(self.directory / TEMPORARY),
        }


def certify(directory: Path) -> Certificate:
    """A certificate for loopback in `directory`, which must be private."""
    authority = trustme.CA(organization_name="harness webhooks")
    served = authority.issue_cert(HOST, "localhost")
    ca_pem = authority.cert_pem.bytes()
    write_private(directory / "tls.crt", b"".join(blob.bytes() for blob in served.cert_chain_pems))
    write_private(directory / "tls.key", served.private_key_pem.bytes())
    write_private(directory / "ca.crt", ca_pem)
    looked_for = directory / TEMPORARY / DEFAULT_DIR
    looked_for.parent.mkdir(mode=0o700, parents=True)
    looked_for.symlink_to(directory.absolute())
    return Certificate(directory, ca_pem)


def load(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """The webhook configurations in these files. Raises UsageError for a file that holds anything else, or no webhook."""
    manifests = []
    for path in paths:
        for manifest in load_manifests([path]):
            name = f"{manifest['kind']}/{manifest['metadata']['name']}"
            if manifest["kind"] not in KINDS:
                raise UsageError(
                    f"{name} is no webhook configuration",
                    place=str(path),
                    remedy=f"only {' and '.join(KINDS)} belong here",
                )
            if not manifest.get("webhooks"):
                raise UsageError(f"{name} has no webhooks", place=str(path))
            for webhook in manifest["webhooks"]:
                _path(webhook, name, path)
            manifests.append(manifest)
    return manifests


def about_pods(paths: Sequence[Path]) -> bool:
    """Whether one of these configurations has the subject called when a Pod is created."""
    rules = [
        rule for manifest in load(paths) for webhook in manifest["webhooks"] for rule in webhook.get("rules") or ()
    ]
    return any(
        {"", "*"} & set(rule.get("apiGroups") or ())
        and {"pods", "*", "*/*"} & set(rule.get("resources") or ())
        and {"CREATE", "*"} & set(rule.get("operations") or ())
        for rule in rules
    )


def directed(manifest: dict[str, Any], port: int, ca_pem: bytes) -> dict[str, Any]:
    """The same configuration with every webhook at the subject's port, trusting its certificate."""
    result = copy.deepcopy(manifest)
    for webhook in result["webhooks"]:
        path = _path(webhook, result["metadata"]["name"], None)
        webhook["clientConfig"] = {
            "url": f"https://{HOST}:{port}{path}",
            "caBundle": base64.b64encode(ca_pem).decode(),
        }
    return result


async def install(api: Api, manifests: Sequence[dict[str, Any]], port: int, ca_pem: bytes) -> list[str]:
    """Apply the configurations; the names of the webhooks that the API server now calls.

    Raises ApiError with the name that the file gives.
    """
    called = []
    for manifest in manifests:
        try:
            await api.apply(directed(manifest, port, ca_pem))
        except ApiError as error:
            place = f"{manifest['kind']} {manifest['metadata']['name']}"
            raise ApiError(error.status, error.reason, error.message, place=place) from error
        called += [str(webhook.get("name")) for webhook in manifest["webhooks"]]
    return called


def _path(webhook: object, name: str, place: Path | None) -> str:
    """The path that a webhook is served under, from its service or its URL."""
    client = webhook.get("clientConfig") if isinstance(webhook, dict) else None
    service = client.get("service") if isinstance(client, dict) else None
    if isinstance(service, dict):
        return "/" + str(service.get("path") or "").lstrip("/")
    url = client.get("url") if isinstance(client, dict) else None
    if not isinstance(url, str) or "://" not in url:
        raise UsageError(
            f"a webhook of {name} names neither a service nor a URL", place=None if place is None else str(place),
            remedy="write clientConfig: {service: {name: x, namespace: x, path: /validate}}",
        )  # fmt: skip
    return "/" + url.split("://", 1)[1].partition("/")[2]
