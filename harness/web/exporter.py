"""`harness run --metrics-port`: the harness's own metrics on loopback for as long as its runs last.

`/metrics` is what the harness sees of the run. `/targets` tells a Prometheus (`http_sd_configs`) where the subject serves its own
metrics, and that those of the API server and of etcd can be had here.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from harness.core.clock import RunClock
from harness.core.errors import EnvironmentFault, UsageError
from harness.core.handles import RunContext
from harness.core.sinks import PropagationRow, RequestRow
from harness.record.models import Run, Verdict
from harness.report import families
from harness.web.feed import LiveRun
from harness.web.relay import Relay

HOST = "127.0.0.1"
MOST_RUNS = 20
"""Runs that are over whose results are still told: the newest."""
LINGER_S = 30.0
"""Longest time that the end of a run waits for one more question."""
SUBJECT_S, SERVERS_S = 2, 10
"""Seconds between questions to the subject, and to API server and etcd: an answer of these is megabytes of text."""
_REQUEST_S = 10.0


class Exporter:
    """Serves the run under way; a `Sink` that gets all that the record gets. `close` it when the runs are over."""

    def __init__(self, port: int, address: str = HOST) -> None:
        """Listen on `port` of loopback, 0 for a free one. Raises UsageError for no port, EnvironmentFault for a busy one.

        On another `address` anybody who reaches it is told the harness's own metrics, and nothing is relayed.
        """
        try:
            self.alone = ipaddress.IPv4Address(address).is_loopback
        except ValueError:
            raise UsageError(
                f"--metrics-address {address!r} is no IPv4 address", remedy="as 0.0.0.0, in a pod"
            ) from None
        self._address = address
        if not 0 <= port < 65536:
            raise UsageError(
                f"--metrics-port {port} is not a port", remedy="name one from 0, any that is free, to 65535"
            )
        self._run: LiveRun | None = None
        self._over: list[LiveRun] = []
        self._context: RunContext | None = None
        self._relay: Relay | None = None
        self._asked: list[float] = []
        self._ended = 0.0
        self._again = threading.Event()
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            self._server = _Server((address, port), self, registry)
        except OSError as error:
            raise EnvironmentFault(
                f"the port is in use or may not be used ({error.strerror or error})",
                place=f"{address}:{port}",
                remedy="name another with --metrics-port, or 0 for a free one",
            ) from None
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="exporter", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the metrics are."""
        return f"http://{self._address}:{self.port}/metrics"

    def close(self, *, linger: bool = True) -> None:
        """Stop listening; with `linger` after one more question from whoever has been asking: the end of a run is in it."""
        if linger and len(self._asked) > 1:
            self._again.wait(min(LINGER_S, 2 * (self._asked[-1] - self._asked[-2]) + 10))
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=_REQUEST_S)

    # -- `experiment.options.Live`, from the run's event loop ----------------------------------------------------------

    def begin(self, facts: Run, clock: RunClock) -> None:
        """A run begins."""
        if self._run is not None:
            self._over = [*self._over, self._run][-MOST_RUNS:]
        self._run = LiveRun(facts, clock)

    def attached(self, context: RunContext) -> None:
        """Subject and cluster are there."""
        self._relay = Relay(context)
        self._context = context

    def waiting(self, effects: int | None) -> None:
        """So many effects are still awaited."""
        if self._run is not None:
            self._run.waiting(effects)

    def end(self, verdict: Verdict) -> None:
        """The run is judged."""
        self._context = self._relay = None
        if self._run is not None:
            self._run.verdict = verdict
        self._ended = time.monotonic()
        self._again.clear()

    def sample(
        self, source: str, metric: str, value: float, labels: Mapping[str, str] | None = None, t_ns: int | None = None
    ) -> None:
        """See `Sink.sample`."""
        if self._run is not None:
            self._run.sample(source, metric, value, labels, t_ns)

    def requests(self, rows: Sequence[RequestRow]) -> None:
        """See `Sink.requests`."""
        if self._run is not None:
            self._run.requests(rows)

    def propagation(self, rows: Sequence[PropagationRow]) -> None:
        """See `Sink.propagation`."""
        if self._run is not None:
            self._run.propagation(rows)

    def event(self, type_: str, /, **fields: object) -> None:
        """Events are no series."""

    # -- questions, from threads ---------------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """The run under way, and the results of those before it: each family once."""
        run, merged = self._run, dict[str, Metric]()
        found = [family for each in self._over for family in each.outcome()]
        for family in [*found, *(() if run is None else run.collect())]:
            known = merged.setdefault(family.name, family)
            if known is not family:
                known.samples += family.samples
        yield from merged.values()

    def asked(self) -> float:
        """Somebody asks for the metrics; returns when."""
        began = time.monotonic()
        self._asked = [*self._asked[-1:], began]
        return began

    def answered(self, began: float) -> None:
        """A question that began then has its answer."""
        if began >= self._ended:  # what began before may lack the end
            self._again.set()

    def targets(self) -> list[dict[str, Any]]:
        """Who else is to be scraped, as Prometheus' HTTP service discovery reads it."""
        context, relay, run = self._context, self._relay, self._run
        if context is None or relay is None or run is None:
            return []
        labels = {name: value for name, value in families.common(run.facts).items() if value}
        replicas = [each for each in context.subject.replicas if each.metrics_url]
        found = []
        for number, each in enumerate(replicas):
            parts = urlsplit(str(each.metrics_url))
            own = {
                "job": families.SUBJECT_JOB,
                "__scheme__": parts.scheme,
                "__metrics_path__": parts.path or "/metrics",
            }
            replica = {"replica": str(number)} if len(replicas) > 1 else {}
            found.append({"targets": [parts.netloc], "labels": labels | own | replica | _every(SUBJECT_S)})
        for name in relay.names:
            own = {"job": name, "__metrics_path__": f"/{name}/metrics"}
            found.append({"targets": [f"{HOST}:{self.port}"], "labels": labels | own | _every(SERVERS_S)})
        return found

    def relayed(self, name: str) -> bytes:
        """The metrics of the API server or of etcd. Raises KeyError where there is none, OSError where it does not answer."""
        relay = self._relay
        if relay is None:
            raise KeyError(name)
        return relay.ask(name)


def _every(seconds: int) -> dict[str, str]:
    """How often a target is to be asked, in the words of Prometheus."""
    return {"__scrape_interval__": f"{seconds}s", "__scrape_timeout__": f"{seconds}s"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], exporter: Exporter, registry: CollectorRegistry) -> None:
        self.exporter = exporter
        self.registry = registry
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    timeout = _REQUEST_S
    server: _Server

    def do_GET(self) -> None:  # the name that http.server looks for
        path = urlsplit(self.path).path
        if not self.server.exporter.alone and path != "/metrics":
            self._answer(http.client.NOT_FOUND, b"here is /metrics\n", "text/plain")
        elif self.server.exporter.alone and self.headers.get("Host", "").rpartition(":")[0] not in (HOST, "localhost"):
            # a page of elsewhere whose name was made to mean this machine
            self._answer(http.client.FORBIDDEN, b"only for this machine\n", "text/plain")
        elif path == "/metrics":
            began = self.server.exporter.asked()
            encode, content_type = choose_encoder(self.headers.get("Accept", ""))
            self._answer(http.client.OK, encode(self.server.registry), content_type)
            self.server.exporter.answered(began)
        elif path == "/targets":
            self._answer(http.client.OK, json.dumps(self.server.exporter.targets()).encode(), "application/json")
        elif path.endswith("/metrics") and path.count("/") == 2:
            self._relay(path.split("/")[1])
        else:
            self._answer(http.client.NOT_FOUND, b"here are /metrics and /targets\n", "text/plain")

    def _relay(self, name: str) -> None:
        try:
            text = self.server.exporter.relayed(name)
        except KeyError:
            self._answer(http.client.NOT_FOUND, f"no {name} can be asked here\n".encode(), "text/plain")
        except (OSError, http.client.HTTPException) as error:
            self._answer(http.client.BAD_GATEWAY, f"{name}: {error}\n".encode(), "text/plain")
        else:
            self._answer(http.client.OK, text, "text/plain; version=0.0.4; charset=utf-8")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name in the base class
        """Nothing: questions come every few seconds."""
