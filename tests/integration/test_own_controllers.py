"""Controllers of a user's own: restarted under load, called as admission webhook, elected, and found wanting."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.process import leftover_cgroups, leftovers
from harness.record.reader import RunRecord
from harness.subject import limits

CAPABILITY = limits.probe()
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not CAPABILITY.ok, reason=f"no memory limits here: {CAPABILITY.sentence}"),
]

SUBJECT = '''
"""Takes a Lease as leader election does, then serves an admission webhook and counts its calls as reconciles.

A Lease of somebody else is respected for a minute. Refuses what was not sent to its own path. With `hungry` it needs more
memory than it may have as soon as it starts with objects present.
"""
import http.server, json, os, ssl, sys, threading, time, urllib.error, urllib.request, uuid

webhook_port, metrics_port, certificates, namespace, hungry = sys.argv[1:]
config = json.loads(os.environ["CLIENT"])
client = ssl.create_default_context(cafile=config["ca"])
client.load_cert_chain(config["cert"], config["key"])

def ask(method, path, body=None):
    request = urllib.request.Request(config["server"] + path, method=method, headers={"Content-Type": "application/json"},
                                     data=None if body is None else json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, context=client, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return None

leases = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
me = str(uuid.uuid4())
lease = {"metadata": {"name": "leader"}, "spec": {"holderIdentity": me, "leaseDurationSeconds": 60}}
while ask("POST", leases, lease) is None:
    time.sleep(0.1)
if hungry == "hungry" and ask("GET", f"/api/v1/namespaces/{namespace}/secrets?limit=1")["items"]:
    held = []
    while True:
        held.append(bytearray(b"x" * (1 << 20)))

called = 0

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        global called
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        called += 1
        response = {"uid": review["request"]["uid"], "allowed": self.path.split("?")[0] == "/validate"}
        self.answer(json.dumps({**review, "request": None, "response": response}).encode(), "application/json")
    def do_GET(self):
        self.answer(f"controller_runtime_reconcile_total {called}\\nworkqueue_depth 0\\n".encode(), "text/plain")
    def log_message(self, *_): pass

secure = http.server.ThreadingHTTPServer(("127.0.0.1", int(webhook_port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(os.path.join(certificates, "tls.crt"), os.path.join(certificates, "tls.key"))
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever, daemon=True).start()
print("serving", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(metrics_port)), Handler).serve_forever()
'''
# The subject above is of the standard library only: what is in a kubeconfig is read for it here.
STARTER = """
import json, os, sys, yaml
config = yaml.safe_load(open(os.environ["KUBECONFIG"]))
cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
os.environ["CLIENT"] = json.dumps({"server": cluster["server"], "ca": cluster["certificate-authority"],
                                   "cert": user["client-certificate"], "key": user["client-key"]})
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
WEBHOOK = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingWebhookConfiguration",
    "metadata": {"name": "counting"},
    "webhooks": [
        {
            "name": "secrets.counting.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "clientConfig": {"service": {"name": "counting", "namespace": "system", "path": "/validate"}},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["secrets"]}],
        }
    ],
}
# Makes a Deployment and waits until somebody has made a Pod of it.
DEPLOYMENT = """
import json, os, ssl, sys, time, urllib.request
config = json.loads(os.environ["CLIENT"])
client = ssl.create_default_context(cafile=config["ca"])
client.load_cert_chain(config["cert"], config["key"])

def ask(method, path, body=None):
    request = urllib.request.Request(config["server"] + path, method=method, headers={"Content-Type": "application/json"},
                                     data=None if body is None else json.dumps(body).encode())
    with urllib.request.urlopen(request, context=client, timeout=10) as answer:
        return json.load(answer)

labels = {"app": "a"}
template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
ask("POST", "/apis/apps/v1/namespaces/default/deployments", {"metadata": {"name": "a"}, "spec": spec})
until = time.monotonic() + 60
while len(ask("GET", "/api/v1/namespaces/default/pods")["items"]) < 2:
    if time.monotonic() > until:
        sys.exit("nobody makes Pods")
    time.sleep(0.2)
"""
CREATE = {"create": {"kind": "Secret", "count": 100, "size": "200B", "rate": "max"}}
SETTLE = {"settle": {"quiet_for": "500ms", "timeout": "30s"}}


def run(
    tmp_path: Path, *, hungry: str = "modest", about: str = "secrets", certificates: str = "{webhook:dir}", **parts: Any
) -> tuple[int, dict[str, Any], RunRecord]:
    """Exit code, what `--json` shows and the record of one run; nothing of it may be left."""
    (tmp_path / "subject.py").write_text(SUBJECT)
    (tmp_path / "starter.py").write_text(STARTER)
    (tmp_path / "deployment.py").write_text(DEPLOYMENT)
    (tmp_path / "webhook.yaml").write_text(yaml.safe_dump(WEBHOOK).replace("- secrets", f"- {about}"))
    subject = {
        "command": [
            *(sys.executable, str(tmp_path / "starter.py"), str(tmp_path / "subject.py")),
            *("{port:webhook}", "{port:metrics}", certificates, "{namespace}", hungry),
        ],
        "metrics": "http://127.0.0.1:{port:metrics}/metrics",
        "ready_timeout": "20s",
        "memory_limit": "96Mi",
        "cpu_limit": 0.9,
        "webhooks": {"port": "webhook", "configurations": ["webhook.yaml"]},
        "ready": {"log": "^serving$"},
    }
    subject |= parts.pop("subject", {})
    scenario = {"name": "own", "summary": "A controller of one's own.", "subject": subject, **parts}
    path = tmp_path / "own.yaml"
    path.write_text(json.dumps(scenario))  # JSON is YAML, without anchors
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli.main", "run", str(path), "--out", str(tmp_path / "runs"), "--json"],
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.stdout, done.stderr
    shown = json.loads(done.stdout)
    run_id = shown["run_id"]
    assert [item.command for item in leftovers(run_id)] == []
    assert [item.path for item in leftover_cgroups(run_id)] == []
    assert not Path(next(word for word in shown["subject"]["command"] if "/hnw-" in word)).exists()
    return done.returncode, shown, RunRecord(Path(shown["path"]))


def test_a_leader_with_webhooks_is_killed_under_load_and_goes_on(tmp_path: Path) -> None:
    hook = ["sh", "-c", 'test -f "$KUBECONFIG" && echo "hooked $HARNESS_RUN_ID"']
    code, shown, record = run(
        tmp_path,
        subject={"ready": {"lease": {"name": "leader"}}, "go": {"gogc": 50}},
        load=[CREATE, {"restart": {"signal": "KILL"}}, CREATE, {"hook": {"command": hook}}, SETTLE],
        expect=["restarts == 1", "oom.kills == 0", "completeness.Secret == 1"],
    )
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    results = {name: result["value"] for name, result in shown["results"].items()}
    assert results["reconciles.total"] >= 200  # each create was admitted by the subject, also by its second incarnation
    assert results["cpu.throttled"] is not None
    (restart,) = record.events("restart")
    assert restart["leases_cleared"] == [f"{shown['namespace']}/leader"]  # held for a minute: no start without this
    assert results["startup.restart"] == (restart["ready_ns"] - restart["started_ns"]) / 1e9
    assert shown["subject"]["webhooks"] == ["secrets.counting.example.com"]
    assert shown["subject"]["environment"]["GOGC"] == "50"
    in_second = record.sql("SELECT count(*) FROM samples WHERE metric = 'memory.rss' AND phase = 'create-Secret-2'")
    assert in_second[0][0] > 0
    assert (Path(shown["path"]) / "hook.log").read_text() == f"hooked {shown['run_id']}\n"


def test_a_cold_start_that_needs_more_than_the_limit_is_a_finding(tmp_path: Path) -> None:
    code, shown, record = run(
        tmp_path, hungry="hungry", load=[CREATE, {"restart": None}, SETTLE], expect=["oom.kills >= 1"],
    )  # fmt: skip
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    assert shown["ending"]["kind"] == "oom_limit"
    (kill,) = record.events("oom_kill")
    (restart,) = record.events("restart")
    assert kill["phase"] == "restart"
    assert (restart["ready_ns"], shown["results"]["restarts"]["value"]) == (None, 1)
    assert shown["results"]["memory.cgroup.peak"]["value"] > 90 * 2**20


def test_a_hook_that_fails_makes_the_run_invalid_with_its_last_words(tmp_path: Path) -> None:
    hook = {"hook": {"command": ["sh", "-c", "echo the disk is full >&2; exit 7"]}}
    code, shown, record = run(tmp_path, load=[hook, CREATE, SETTLE])
    assert (code, shown["verdict"]) == (3, "invalid")
    assert shown["reasons"][0] == "hook: sh failed with exit code 7; its last words: the disk is full"
    assert [phase["name"] for phase in shown["phases"]] == ["start", "idle", "hook", "end"]
    assert record.run.ending is None


def test_a_cluster_without_nodes_makes_the_pods_that_a_webhook_of_the_subject_admits(tmp_path: Path) -> None:
    deploy = [sys.executable, str(tmp_path / "starter.py"), str(tmp_path / "deployment.py")]
    code, shown, _ = run(
        tmp_path,
        about="pods",
        certificates="{webhook:tmp}/k8s-webhook-server/serving-certs",  # where controller-runtime looks without a switch
        load=[{"hook": {"command": deploy, "timeout": "90s"}}, CREATE, SETTLE],
        expect=["oom.kills == 0"],
        engaged=[{"metric": "reconciles.total", "min": 2}],
    )
    assert (code, shown["verdict"]) == (0, "passed"), shown["reasons"]
    assert shown["results"]["reconciles.total"]["value"] == 2  # the two Pods, and none of the Secrets
