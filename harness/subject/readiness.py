"""Waiting until a subject is ready: by its HTTP probe, a line of its log, a Lease that is held, or a metric."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from harness.core.errors import UsageError
from harness.core.kinds import Kind
from harness.kube.api import Api
from harness.kube.errors import ApiError, ApiUnreachable

POLL_S = 0.05
TRY_LIMIT_S = 2.0
"""For one request: a subject that is busy starting may accept a connection and not answer it."""
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases", namespaced=True)
_READ_BYTES = 1 << 20
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Ready:
    """How readiness is told, by one of these. Without any it is ready when it rests (`rest.py`).

    `http` answers with a 2xx status; a line of the log matches the pattern `log`; `lease` (namespace, name) has a holder; the
    sum of the samples called `metric` is `minimum` or more.
    """

    http: str | None = None
    log: str | None = None
    lease: tuple[str, str] | None = None
    metric: str | None = None
    minimum: float = 0.0

    def filled(self, fill: Callable[[str], str]) -> Ready:
        """With the placeholders of addresses and names filled; a pattern has none."""
        lease = self.lease and (fill(self.lease[0]), fill(self.lease[1]))
        return replace(self, http=self.http and fill(self.http), lease=lease)


@dataclass(frozen=True, slots=True)
class Source:
    """Where signs of one incarnation's readiness are looked for."""

    log: Path
    log_offset: int
    """Where its part of the log begins: what an earlier incarnation said does not count."""
    kubeconfig: Path
    metrics_url: str | None


class Watch:
    """Asks again and again; remembers the last answer for the message when the right one never comes."""

    def __init__(self, what: str) -> None:
        self.what = what
        """What is asked, in words."""
        self.last = "no answer yet"

    async def until_ready(self) -> None:
        """Return once the sign is there. The caller sets the deadline."""
        raise NotImplementedError


class HttpWatch(Watch):
    """Asks an address; ready with a 2xx status."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        if not url.startswith(("http://", "https://")):
            raise UsageError(f"readiness URL {url!r} is not http:// or https://")
        self.url = url

    async def until_ready(self) -> None:
        # A controller serves its probes with a certificate it made itself; nothing secret is sent or believed here.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        timeout = aiohttp.ClientTimeout(total=TRY_LIMIT_S)
        connector = aiohttp.TCPConnector(ssl=context, force_close=True)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False, connector=connector) as session:
            while not await self._ask(session):  # noqa: ASYNC110 # somebody else's event
                await asyncio.sleep(POLL_S)

    async def _ask(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self.url, allow_redirects=False) as response:
                self.last = f"HTTP status {response.status}"
                return await self._accepts(response)
        except TimeoutError:
            self.last = f"no answer within {TRY_LIMIT_S:g} s"
        except aiohttp.ClientError as error:
            self.last = str(error) or type(error).__name__
        return False

    async def _accepts(self, response: aiohttp.ClientResponse) -> bool:
        """Whether an answer is the sign."""
        return 200 <= response.status < 300


class MetricWatch(HttpWatch):
    """Ready when the samples of one name sum up to a least value."""

    def __init__(self, url: str, metric: str, minimum: float) -> None:
        super().__init__(url)
        self.what = f"{metric} on {url}, at least {minimum:g}"
        self._metric = metric
        self._minimum = minimum

    async def _accepts(self, response: aiohttp.ClientResponse) -> bool:
        if response.status != 200:
            return False
        text = await response.text(errors="replace")
        try:
            found = [
                sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
                if sample.name == self._metric
            ]
        except (ValueError, IndexError, KeyError) as error:
            self.last = f"not Prometheus metrics: {error}"
            return False
        self.last = f"it is {sum(found):g}" if found else "there is no such sample"
        return bool(found) and sum(found) >= self._minimum


class LogWatch(Watch):
    """Ready when a whole line of the log matches somewhere."""

    def __init__(self, log: Path, offset: int, pattern: str) -> None:
        super().__init__(f"a line that matches {pattern!r} in {log}")
        self._log = log
        self._offset = offset
        self._pattern = re.compile(pattern)
        self._rest = b""

    async def until_ready(self) -> None:
        while not await asyncio.to_thread(self._look):  # noqa: ASYNC110 # a pattern may take its time
            await asyncio.sleep(POLL_S)

    def _look(self) -> bool:
        try:
            with self._log.open("rb") as file:
                if file.seek(0, 2) < self._offset:  # rotated meanwhile
                    self._offset = 0
                file.seek(self._offset)
                data = file.read(_READ_BYTES)
        except FileNotFoundError:
            return False
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if lines:
            self.last = "no line matches yet"
        return any(self._pattern.search(line.decode(errors="replace")) for line in lines)


class LeaseWatch(Watch):
    """Ready when a Lease has a holder."""

    def __init__(self, kubeconfig: Path, namespace: str, name: str) -> None:
        super().__init__(f"the Lease {namespace}/{name}")
        self._kubeconfig = kubeconfig
        self._namespace = namespace
        self._name = name

    async def until_ready(self) -> None:
        async with await Api.connect(self._kubeconfig) as api:
            while not await self._held(api):  # noqa: ASYNC110 # a few milliseconds' work
                await asyncio.sleep(POLL_S)

    async def _held(self, api: Api) -> bool:
        try:
            lease = await api.get(LEASE, self._name, self._namespace, timeout_s=TRY_LIMIT_S)
        except ApiError as error:
            self.last = "it does not exist" if error.status == _NOT_FOUND else str(error)
            return False
        except ApiUnreachable as error:
            self.last = str(error)
            return False
        self.last = "nobody holds it"
        return bool((lease.get("spec") or {}).get("holderIdentity"))


def watch_for(ready: Ready, source: Source) -> Watch | None:
    """What waits for the sign; None where there is none to wait for."""
    if ready.http is not None:
        return HttpWatch(ready.http)
    if ready.log is not None:
        return LogWatch(source.log, source.log_offset, ready.log)
    if ready.lease is not None:
        return LeaseWatch(source.kubeconfig, *ready.lease)
    if ready.metric is None:
        return None
    if source.metrics_url is None:
        raise UsageError("ready.metric needs the subject's metrics", place="subject", remedy="set subject.metrics")
    return MetricWatch(source.metrics_url, ready.metric, ready.minimum)
