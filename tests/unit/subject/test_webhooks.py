"""Webhook configurations as the API server of a run needs them, and the certificate behind them."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest

from harness.core.errors import UsageError
from harness.subject import webhooks
from harness.subject.placeholders import Placeholders

TWO = """\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: validating}
webhooks:
  - {name: a.example.com, clientConfig: {service: {name: s, namespace: n, path: /validate, port: 443}, caBundle: eA==}}
  - {name: b.example.com, clientConfig: {url: "https://old.example.com:9443/b/c"}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: mutating}
webhooks: [{name: c.example.com, failurePolicy: Ignore, clientConfig: {service: {name: s, namespace: n}}}]
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "webhook.yaml"
    path.write_text(text)
    return path


def test_every_webhook_leads_to_the_subject(tmp_path: Path) -> None:
    manifests = webhooks.load([write(tmp_path, TWO)])
    directed = [webhooks.directed(manifest, 4711, b"PEM") for manifest in manifests]
    clients = [webhook["clientConfig"] for manifest in directed for webhook in manifest["webhooks"]]
    bundle = base64.b64encode(b"PEM").decode()
    assert clients == [
        {"url": f"https://127.0.0.1:4711{path}", "caBundle": bundle} for path in ("/validate", "/b/c", "/")
    ]
    assert directed[1]["webhooks"][0]["failurePolicy"] == "Ignore"
    assert "service" in manifests[0]["webhooks"][0]["clientConfig"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kind: MutatingWebhookConfiguration", "kind: Service", "Service/mutating is no webhook configuration; only Valid"),
        ("clientConfig: {service: {name: s, namespace: n}}", "sideEffects: None", "MutatingWebhookConfiguration/mutating names"),
        ("webhooks: [{name: c", "others: [{name: c", "MutatingWebhookConfiguration/mutating has no webhooks"),
    ],
)  # fmt: skip
def test_other_files_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in TWO
    with pytest.raises(UsageError) as caught:
        webhooks.load([write(tmp_path, TWO.replace(old, new))])
    assert says in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "webhook.yaml"))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        webhooks.load([tmp_path / "none.yaml"])


def test_the_certificate_is_what_controller_runtime_looks_for(tmp_path: Path) -> None:
    certificate = webhooks.certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    assert (tmp_path / "ca.crt").read_bytes() == certificate.ca_pem
    assert (tmp_path / "tls.key").stat().st_mode & 0o077 == 0
    fill = Placeholders(kubeconfig=Path("k"), namespace="n", run_id="r")
    with pytest.raises(UsageError, match=r"unknown placeholder \{webhook:cert\}; set subject.webhooks"):
        fill.fill("{webhook:cert}")
    fill.webhook.update(certificate.files)
    text = fill.fill("{webhook:cert} {webhook:key} {webhook:ca} {webhook:dir}")
    assert text == f"{tmp_path}/tls.crt {tmp_path}/tls.key {tmp_path}/ca.crt {tmp_path}"
    # What has no switch for the folder looks below TMPDIR.
    below = Path(fill.fill("{webhook:tmp}"), "k8s-webhook-server/serving-certs")
    assert (below / "tls.crt").read_bytes() == (tmp_path / "tls.crt").read_bytes()
    with pytest.raises(UsageError, match=r"\{webhook:pem\}; there are \{webhook:dir\}, \{webhook:cert\}"):
        fill.fill("{webhook:pem}")


@pytest.mark.parametrize(
    ("rule", "about"),
    [
        ('{apiGroups: [""], operations: [CREATE], resources: [pods]}', True),
        ('{apiGroups: ["*"], operations: ["*"], resources: ["*"]}', True),
        ('{apiGroups: [""], operations: [UPDATE], resources: [pods]}', False),
        ('{apiGroups: [""], operations: [CREATE], resources: [secrets, pods/status]}', False),
        ("{apiGroups: [metrics.k8s.io], operations: [CREATE], resources: [pods]}", False),
    ],
)
def test_whether_pods_are_admitted(tmp_path: Path, rule: str, about: bool) -> None:
    one = TWO.replace("name: b.example.com, ", f"name: b.example.com, rules: [{rule}], ")
    assert one != TWO
    assert webhooks.about_pods([write(tmp_path, one)]) is about
    assert not webhooks.about_pods([write(tmp_path, TWO)])
