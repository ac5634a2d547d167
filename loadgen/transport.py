"""HTTP to the API server: one pool of keep-alive connections for all workers.

A pool and a TLS context per user is what makes plain Locust expensive (half a megabyte and a handshake each). Here all
workers share geventhttpclient's pool and parser; the request head is made by hand because its general client merges
and validates headers for each request, which costs as much as sending it.
"""

from __future__ import annotations

import resource
import select
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import gevent
from gevent.monkey import get_original
from gevent.ssl import SSLContext
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse, HTTPSocketResponse

from loadgen.fields import PlanError
from loadgen.plan import Plan
from loadgen.token import Token
from loadgen.verdicts import Answer

OTHER_DESCRIPTORS = 64
"""Descriptors kept for everything but connections: standard streams, libraries, files being loaded."""

_poll = get_original("select", "poll")

BLOCK_SIZE = 16 * 1024
"""One TLS record: an answer of a few KB is then read in one go."""


WATCH_BLOCK = 64 * 1024
_FORBIDDEN = 403


class _QuietCheck:
    """Looks at an idle connection without letting other greenlets run.

    The pool's own check goes through gevent's select(), which yields: a request would then wait for all other workers
    between being stamped as sent and being sent. It is also blind above descriptor 1,023.
    """

    def _is_socket_alive(self, sock: gevent.socket.socket) -> bool:
        if sock.fileno() < 0:
            return False
        poller = _poll()
        poller.register(sock.fileno(), select.POLLIN)
        return not poller.poll(0)


class _PlainPool(_QuietCheck, ConnectionPool):
    pass


class _TLSPool(_QuietCheck, SSLConnectionPool):
    pass


class WatchStream:
    """An answer that goes on: iterating gives its body as it comes, until the server ends it or the connection breaks."""

    def __init__(self, sock: gevent.socket.socket) -> None:
        self._sock = sock
        self._response = HTTPSocketResponse(sock, method="GET", block_size=WATCH_BLOCK)
        self.status: int = self._response.get_code()

    def refusal(self) -> Answer:
        """An answer that is no stream, read whole."""
        body = bytes(self._response.read())
        return Answer(self.status, body, self._response.get("retry-after"))

    def __iter__(self) -> Iterator[bytes]:
        """Raises OSError or HTTPParseError where the connection breaks."""
        while True:
            # The parser has no way to take what there is; its own reading waits for a whole line or block.
            if chunk := bytes(self._response._body_buffer):
                self._response._body_buffer.clear()
                yield chunk
            if self._response.message_complete or not (data := self._sock.recv(WATCH_BLOCK)):
                return
            self._response.feed(data)

    def close(self) -> None:
        """Hang up: that is how a watch is ended."""
        self._sock.close()


class Transport:
    """Sends requests to the plan's server. `size` bounds its connections; more senders than that wait for one.

    `watchers` are connections beside the pool, each for as long as its watch lasts.

    Raises PlanError for certificate files that cannot be used, and for more connections than the process may open.
    """

    def __init__(self, plan: Plan, *, size: int, watchers: int = 0) -> None:
        _allow_descriptors(size + watchers + OTHER_DESCRIPTORS)
        parts = urlsplit(plan.server)
        host = parts.hostname
        assert host is not None  # plan.parse has checked it
        self._prefix = parts.path
        self._timeout_s = plan.request_timeout_s
        self._token = Token(plan.token_file)
        self._let_in = False
        shown = f"[{host}]" if ":" in host else host
        authority = shown if parts.port is None else f"{shown}:{parts.port}"
        self._fixed_head = f"Host: {authority}\r\nUser-Agent: harness-loadgen\r\n"
        options = {"size": size, "connection_timeout": self._timeout_s, "network_timeout": self._timeout_s}
        if parts.scheme == "http":
            port = parts.port or 80
            self._pool = _PlainPool(host, port, host, port, **options)
        else:
            port = parts.port or 443
            context = _tls_context(plan)
            self._pool = _TLSPool(
                host,
                port,
                host,
                port,
                # The pool hands over a CA file of its own choice (from SSL_CERT_FILE or certifi); it must not count.
                ssl_context_factory=lambda cafile: context,  # noqa: ARG005  # the pool passes it by name
                **options,
            )

    def send(self, method: str, path: str, body: bytes, content_type: str, accept: str) -> Answer:
        """Send one request and read its answer whole, within the plan's request timeout. Never raises for the network."""
        head = (
            f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._fixed_head}{self._token.header()}Accept: {accept}\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        answer = self._bounded(lambda: self._exchange(method, head.encode("ascii") + body))
        if answer.status == _FORBIDDEN and self._let_in:
            return replace(answer, let_in=True)
        self._let_in = self._let_in or 200 <= answer.status < 300
        return answer

    def open_watch(self, path: str, accept: str) -> tuple[Answer, WatchStream | None]:
        """Begin a watch on a connection of its own; the stream is there exactly with a good answer."""
        message = f"GET {self._prefix}{path} HTTP/1.1\r\n{self._fixed_head}{self._token.header()}Accept: {accept}\r\n\r\n".encode(
            "ascii"
        )
        opened: list[WatchStream] = []

        def exchange() -> Answer:
            sock = self._pool._create_socket()  # the pool's own way to connect, without its bound
            try:
                sock.sendall(message)
                stream = WatchStream(sock)
                if stream.status != 200:
                    answer = stream.refusal()
                    sock.close()
                    return answer
            except BaseException:
                sock.close()
                raise
            # From here on silence is no fault: nothing may happen for long.
            sock.settimeout(None)
            opened.append(stream)
            return Answer(200)

        answer = self._bounded(exchange)
        return answer, opened[0] if opened and answer.status == 200 else None

    def _bounded(self, exchange: Callable[[], Answer]) -> Answer:
        # The pool's own timeouts are per read; a server that answers in drops would never meet them.
        deadline = gevent.Timeout(self._timeout_s)
        deadline.start()
        try:
            return exchange()
        except gevent.Timeout as fired:
            if fired is not deadline:
                raise
            return Answer(0, fault=f"timeout: no complete answer within {self._timeout_s:g} s")
        except TimeoutError:
            return Answer(0, fault=f"timeout: the server was silent for {self._timeout_s:g} s")
        except ssl.SSLCertVerificationError as fault:
            return Answer(
                0, fault=f"TLS: the server's certificate is not of the plan's CA: {fault.verify_message}", final=True
            )
        except (OSError, HTTPParseError) as fault:
            return Answer(0, fault=f"{type(fault).__name__}: {fault}")
        finally:
            deadline.close()

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def _exchange(self, method: str, message: bytes) -> Answer:
        sock = self._pool.get_socket()
        try:
            sock.sendall(message)
        except BaseException:
            # Also for a timeout or a killed worker: a connection that is not given back is lost to the pool for good.
            self._pool.release_socket(sock)
            raise
        response = HTTPSocketPoolResponse(sock, self._pool, method=method, block_size=BLOCK_SIZE)
        body = response.read()
        if not response.message_complete:
            raise ConnectionResetError("connection closed within an answer")
        return Answer(response.get_code(), bytes(body), response.get("retry-after"))


def _allow_descriptors(wanted: int) -> None:
    """Raise the soft limit of open files to what is wanted. Raises PlanError where the hard limit is lower."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise PlanError(f"plan.phases: concurrency needs {wanted} open files, this machine allows {hard} (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _tls_context(plan: Plan) -> SSLContext:
    """A context that trusts the plan's CA alone, whatever SSL_CERT_FILE and REQUESTS_CA_BUNDLE say."""
    context = SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for key, path in (("ca_file", plan.ca_file), ("cert_file", plan.cert_file)):
        if path is None:
            continue
        try:
            if key == "ca_file":
                context.load_verify_locations(cafile=path)
            else:
                context.load_cert_chain(certfile=path, keyfile=plan.key_file)
        except OSError as fault:  # ssl.SSLError is one
            raise PlanError(f"plan.{key}: {path} cannot be used: {fault.strerror or fault}") from fault
    return context
