"""The API server's own saturation: what it had in flight, what it refused, how long it took, and what it cost.

A slow API server makes every controller look slow. Its /metrics is 1.6 MB of text and costs it 60 ms a time (measured
with the CRDs of the project), so it is read every five seconds and at the borders of load phases, not more often.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import ClassVar, NamedTuple

from harness.collectors import procfs
from harness.collectors.base import Collector
from harness.collectors.sampling import Sampler, Slices
from harness.core.errors import HarnessError
from harness.core.handles import RunContext
from harness.kube.api import Api

INTERVAL_S = 1.0
_SCRAPE_EVERY = 5
_SCRAPE_LIMIT_S = 5.0
_PROGRAM = "kube-apiserver"
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "APPLY": "patch", "DELETE": "delete", "GET": "get",
          "LIST": "list"}  # fmt: skip
"""The server's verbs that end: a WATCH lasts as long as its client wants, which says nothing of the server."""
_GAUGE = re.compile(
    rb'^apiserver_current_inflight_requests\{(?:[^\n]*?,)?request_kind="(\w+)"[^\n]*\} (\S+)$', re.MULTILINE
)
_REFUSED = re.compile(rb'^apiserver_request_total\{(?:[^\n]*?,)?code="429"[^\n]*\} (\S+)$', re.MULTILINE)
"""Both ways to limit requests in flight (priority and fairness, plain limits) count here what they turn away."""
_BUCKET = re.compile(rb'[^\n]*?[{,]resource="([^"]+)"[^\n]*?verb="([A-Z]+)"[^\n]*?le="([^"]+)"\}$')
"""Go's client writes labels in alphabetical order and `le` last."""
_LISTED = re.compile(
    rb'^apiserver_response_sizes_sum\{(?:[^\n]*?,)?resource="([^"]+)"[^\n]*?verb="LIST"[^\n]*\} (\S+)$', re.MULTILINE
)
"""Bytes of the answers to lists, of all clients."""
_LINES = 64
"""Lines between two looks at the clock."""


class Saturation(NamedTuple):
    """One reading of /metrics. Durations are cumulative counts by verb and upper border (`le`), as Prometheus keeps them."""

    inflight: dict[str, float]
    rejected: float
    durations: dict[tuple[str, str], float]
    listed: dict[str, float]


class ApiServerCollector(Collector):
    """Samples `apiserver.inflight` {kind}, `apiserver.rejected` (c), `apiserver.duration` {verb, le} (c), `apiserver.cpu` (c),
    `apiserver.listed` {resource} (c), `apiserver.rss`, and the CPU of the whole control plane, `controlplane.cpu` (c).

    Durations and bytes of lists are sampled at the borders of phases only. CPU and memory are read where the server runs on
    this machine. A reading that fails is one warning: an API server too busy to answer is what this collector is there to tell.
    """

    name: ClassVar[str] = "apiserver"

    def __init__(self) -> None:
        self._context: RunContext | None = None
        self._api: Api | None = None
        self._sampler = Sampler(self.name, self._take, INTERVAL_S)
        self._round = 0
        self._warned = False

    async def attach(self, context: RunContext) -> None:
        self._context = context
        self._api = await Api.connect(context.watcher_kubeconfig)
        self._sampler.start()

    async def phase_started(self, phase: str) -> None:  # noqa: ARG002  # it samples all phases alike
        await self._border()

    async def phase_ended(self, phase: str) -> None:  # noqa: ARG002  # see above
        await self._border()

    async def detach(self) -> None:
        api, self._api = self._api, None
        context, self._context = self._context, None
        try:
            await self._sampler.stop()
            if context is not None:
                self._use(context)
        finally:
            if api is not None:
                await api.close()

    async def _border(self) -> None:
        if self._context is not None:
            self._use(self._context)
            await self._scrape(self._context, durations=True)

    async def _take(self) -> None:
        if self._context is None:
            return
        self._use(self._context)
        if self._round % _SCRAPE_EVERY == 0:
            await self._scrape(self._context)
        self._round += 1

    def _use(self, context: RunContext) -> None:
        uses = {program: procfs.read_process(pid) for program, pid in context.cluster.pids.items()}
        own = uses.get(_PROGRAM)
        if own is None:
            return
        sink, t_ns = context.sink, context.clock.now_ns()
        sink.sample(self.name, "apiserver.cpu", own.cpu_s, t_ns=t_ns)
        sink.sample(self.name, "apiserver.rss", own.rss_bytes, t_ns=t_ns)
        sink.sample(self.name, "controlplane.cpu", sum(use.cpu_s for use in uses.values() if use), t_ns=t_ns)

    async def _scrape(self, context: RunContext, *, durations: bool = False) -> None:
        if self._api is None:
            return
        try:
            text = await self._api.transport.request("GET", "/metrics", accept="text/plain", timeout_s=_SCRAPE_LIMIT_S)
        except HarnessError as error:
            if not self._warned:
                self._warned = True
                context.sink.event(
                    "warning", source=self.name, message=f"the API server's own metrics could not be read: {error}"
                )
            return
        sink, t_ns, found = context.sink, context.clock.now_ns(), await read(text, durations=durations)
        for kind, value in found.inflight.items():
            sink.sample(self.name, "apiserver.inflight", value, {"kind": kind}, t_ns)
        sink.sample(self.name, "apiserver.rejected", found.rejected, t_ns=t_ns)
        for (verb, border), value in found.durations.items():
            sink.sample(self.name, "apiserver.duration", value, {"verb": verb, "le": border}, t_ns)
        for resource, value in found.listed.items():
            sink.sample(self.name, "apiserver.listed", value, {"resource": resource}, t_ns)


async def read(text: bytes, *, durations: bool = True) -> Saturation:
    """The saturation that an API server's /metrics tells; families it does not have are empty.

    Only the families in question are looked at, and durations in slices: latencies are being stamped meanwhile.
    """
    inflight = {
        kind.decode(): float(value)
        for kind, value in _GAUGE.findall(_family(text, b"apiserver_current_inflight_requests"))
    }
    rejected = sum(float(value) for value in _REFUSED.findall(_family(text, b"apiserver_request_total")))
    found: dict[tuple[str, str], float] = {}
    slices = Slices()
    lines = _family(text, b"apiserver_request_duration_seconds").split(b"\n") if durations else []
    for number, line in enumerate(lines):
        if number % _LINES == 0:
            await slices.pause()
        series, _, value = line.rpartition(b" ")
        key = _border(series)
        if key is not None:
            found[key] = found.get(key, 0.0) + float(value)
    listed: dict[str, float] = {}
    for name, value in _LISTED.findall(_family(text, b"apiserver_response_sizes") if durations else b""):
        listed[name.decode()] = listed.get(name.decode(), 0.0) + float(value)
    return Saturation(inflight, rejected, found, listed)


@lru_cache(maxsize=20_000)
def _border(series: bytes) -> tuple[str, str] | None:
    """Verb and upper border of a series of the durations' buckets; None for any other. They are thousands, always the same."""
    found = _BUCKET.match(series) if series.startswith(b"apiserver_request_duration_seconds_bucket{") else None
    verb = None if found is None else _VERBS.get(found[2].decode())
    return None if found is None or verb is None else (verb, found[3].decode())


def _family(text: bytes, name: bytes) -> bytes:
    """The lines of one family: they stand together, below their TYPE."""
    start = text.find(b"# TYPE " + name + b" ")
    if start < 0:
        return b""
    end = text.find(b"\n# HELP ", start)
    return text[start : end if end >= 0 else len(text)]
