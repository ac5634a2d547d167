"""The yardstick of `creates` and `flips`: the least that sends them with geventhttpclient, as one would write it by hand.

`python -m tests.bench.bare_loop PLAN.json` takes the load generator's plan, so that both are asked for the same, but
shares no code with it: one client with one pool, a greenlet per connection, no retries, no rows, no schedule. Prints
`{"ready": true}`, begins a phase at a line on stdin, prints what it did, and stays until stdin ends so that it can be measured.
"""

from __future__ import annotations

import base64
import json
import random
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from gevent.ssl import SSLContext
from geventhttpclient import HTTPClient

CREATED = 201
OK = 200


def client_of(plan: dict[str, Any], concurrency: int) -> HTTPClient:
    """One client for all greenlets; trusts the plan's CA alone, whatever SSL_CERT_FILE says."""
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if plan["ca_file"]:
        context.load_verify_locations(cafile=plan["ca_file"])
        context.load_cert_chain(certfile=plan["cert_file"], keyfile=plan["key_file"])
    return HTTPClient.from_url(
        plan["server"],
        concurrency=concurrency,
        connection_timeout=30.0,
        network_timeout=30.0,
        ssl_context_factory=lambda cafile: context,
    )


def send_all(plan: dict[str, Any], phase: dict[str, Any]) -> dict[str, Any]:
    """Send the requests of one phase. Objects are made within the time that counts, as any client must."""
    count, flips = phase["count"], phase["action"] == "flip"
    client = client_of(plan, phase["concurrency"])
    source = random.Random(plan["seed"])
    content = "application/merge-patch+json" if flips else "application/json"
    headers = {"Content-Type": content, "Accept": "application/json"}
    indexes = iter(range(count))
    done, last_done_ns, error = 0, 0, None

    def work() -> None:
        nonlocal done, last_done_ns, error
        for index in indexes:
            name = phase["names"].format(i=index)
            try:
                if flips:
                    body = json.dumps({"metadata": {"labels": phase["params"]["labels"]}})
                    response = client.request("PATCH", f"{phase['path']}/{name}", body, headers)
                else:
                    response = client.post(phase["path"], json.dumps(object_of(plan, phase, name, source)), headers)
                answer = response.read()
            except OSError as fault:
                error = error or f"{type(fault).__name__}: {fault}"
                continue
            if response.status_code == (OK if flips else CREATED):
                done += 1
                last_done_ns = time.monotonic_ns()
            else:
                error = error or f"{response.status_code}: {answer[:200].decode('utf-8', 'replace')}"

    started_ns = time.monotonic_ns()
    gevent.joinall([gevent.spawn(work) for _ in range(phase["concurrency"])], raise_error=True)
    client.close()
    seconds = (last_done_ns - started_ns) / 1e9
    return {"done": done, "failed": count - done, "per_s": done / seconds if done else 0.0, "error": error}


def object_of(plan: dict[str, Any], phase: dict[str, Any], name: str, source: random.Random) -> dict[str, Any]:
    """A Secret with a payload drawn anew, or another object with nothing in it but its name."""
    item = {
        "apiVersion": phase["api_version"],
        "kind": phase["object_kind"],
        "metadata": {"name": name, "labels": plan["labels"]},
    }
    if phase["object_kind"] != "Secret":
        return item | {"spec": {"displayName": name, "fleetWorkspaceName": plan["namespace"]}}
    low, high = phase["params"]["size"]
    payload = base64.b64encode(source.randbytes(source.randint(low, high))).decode()
    return item | {"type": "Opaque", "data": {"payload": payload}}


def main() -> None:
    """For each phase wait for the word, send, tell; then wait for the end."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps({"ready": True}), flush=True)
    for phase in plan["phases"]:
        if not sys.stdin.readline():
            return
        print(json.dumps(send_all(plan, phase)), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
