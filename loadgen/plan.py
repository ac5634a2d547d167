"""The plan: what to do, in which phases, against which API, as `harness.plan/v1`.

It is fully resolved by the harness (paths, names, indexes, bytes), so that the load generator decides nothing that the
run record does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from loadgen.fields import Fields, PlanError
from loadgen.rates import Rate, UntilFailure, parse_rate
from loadgen.rounds import steps_of

SCHEMA = "harness.plan/v1"

DEFAULT_REQUEST_TIMEOUT_S = 30.0
MOST_PORT = 65534


@dataclass(frozen=True, slots=True)
class Phase:
    """One step of the load: `count` requests of one action on one kind."""

    name: str
    action: str
    kind: str
    """Alias of the kind, as in metric names: `Secret`, `Cluster.management.cattle.io`."""
    api_version: str
    object_kind: str
    path: str
    """Of the collection; an object is `path/name`."""
    namespaced: bool
    count: int
    rate: Rate
    """Requests per second of an open model, or how they change; None: as fast as `concurrency` allows."""
    concurrency: int
    timeout_s: float
    names: str
    """Format of the names, with the index as `i`: `secret-k4x7q-{i:05d}`."""
    params: Mapping[str, object]
    place: str
    """Where it stands in the plan, for errors."""
    paths: tuple[str, ...] = ()
    """Collections of a phase whose objects are spread over namespaces: object i is in the i-th, around and around."""

    def object_name(self, index: int) -> str:
        """The name of the object that request `index` is about."""
        return self.names.format(i=index)

    def collection(self, index: int) -> str:
        """The path of the collection that object `index` is in."""
        return self.paths[index % len(self.paths)] if self.paths else self.path


@dataclass(frozen=True, slots=True)
class External:
    """Where load workers of other machines come in: a gate, and at the next port Locust's master."""

    host: str
    port: int
    secret_file: str
    wait_s: float
    """How long all of them may take to be there."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run's load and where to send it."""

    run_id: str
    seed: int
    origin_ns: int
    """CLOCK_MONOTONIC at the run's origin; all times reported are nanoseconds since then."""
    server: str
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    token_file: str | None
    """A bearer token, instead of certificate and key; replaced there before it expires."""
    namespace: str
    labels: Mapping[str, str]
    request_timeout_s: float
    phases: Mapping[str, Phase]
    """By name, in the order of the plan."""
    workers: int = 1
    """Processes that share the load (Locust's workers, under a master from 2 on)."""
    external: External | None = None
    """These workers come by themselves, from other machines; None: the master starts them."""
    file: Path | None = None
    """Where it was read from."""


def load(path: Path) -> Plan:
    """Read and check a plan file. Raises PlanError (one line) for whatever is wrong with it."""
    try:
        decoded = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise PlanError(f"{path}: cannot be read: {fault.strerror}") from fault
    except ValueError as fault:
        raise PlanError(f"{path}: is not JSON: {fault}") from fault
    try:
        return replace(parse(decoded), file=path)
    except PlanError as fault:
        raise PlanError(f"{path}: {fault}") from fault


def parse(value: object) -> Plan:
    """The plan of a decoded JSON document. Raises PlanError that names the field."""
    fields = Fields(value, "plan")
    schema = fields.text("schema")
    if schema != SCHEMA:
        raise fields.error("schema", f"must be {SCHEMA!r}, is {schema!r}")
    phases = fields.raw("phases")
    if not isinstance(phases, list):
        raise fields.error("phases", "must be a list")
    parsed = [_phase(Fields(item, f"plan.phases[{index}]")) for index, item in enumerate(phases)]
    by_name = {phase.name: phase for phase in parsed}
    if len(by_name) != len(parsed):
        raise fields.error("phases", "must have distinct names")
    timeout = fields.positive("request_timeout_s") if fields.optional("request_timeout_s") is not None else None
    plan = Plan(
        run_id=fields.text("run_id"),
        seed=fields.integer("seed", minimum=-(2**63)),
        origin_ns=fields.integer("origin_ns", minimum=0),
        server=_server(fields),
        ca_file=fields.text_or_none("ca_file"),
        cert_file=fields.text_or_none("cert_file"),
        key_file=fields.text_or_none("key_file"),
        token_file=fields.text_or_none("token_file"),
        namespace=fields.text("namespace"),
        labels=fields.labels("labels", required=False),
        request_timeout_s=timeout or DEFAULT_REQUEST_TIMEOUT_S,
        phases=by_name,
        workers=1 if fields.optional("workers") is None else fields.integer("workers", minimum=1),
        external=_external(fields.optional("external")),
    )
    fields.done()
    _check_credentials(plan)
    return plan


def _external(value: object) -> External | None:
    if value is None:
        return None
    fields = Fields(value, "plan.external")
    external = External(
        host=fields.text("host"),
        port=fields.integer("port", minimum=1),
        secret_file=fields.text("secret_file"),
        wait_s=fields.positive("wait_s"),
    )
    fields.done()
    if external.port > MOST_PORT:
        raise fields.error("port", f"must be below {MOST_PORT + 1}, for the next one is used too; is {external.port}")
    return external


def _server(fields: Fields) -> str:
    server = fields.text("server")
    try:
        parts = urlsplit(server)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise fields.error("server", f"must be a URL such as https://127.0.0.1:6443, is {server!r}")
    return server.rstrip("/")


def _check_credentials(plan: Plan) -> None:
    if plan.server.startswith("https:") and plan.ca_file is None:
        raise PlanError("plan.ca_file: is missing; an https server is verified against it")
    if (plan.cert_file is None) != (plan.key_file is None):
        raise PlanError("plan.cert_file: goes together with key_file")


def _paths(fields: Fields) -> tuple[str, ...]:
    paths = fields.optional("paths", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) and path.startswith("/") for path in paths):
        raise fields.error("paths", "must be a list of paths that begin with a slash")
    return tuple(paths)


def _phase(fields: Fields) -> Phase:
    rate = parse_rate(fields)
    params = fields.optional("params", {})
    if not isinstance(params, dict):
        raise fields.error("params", "must be an object")
    phase = Phase(
        name=fields.text("name"),
        action=fields.text("action"),
        kind=fields.text("kind"),
        api_version=fields.text("api_version"),
        object_kind=fields.text("object_kind"),
        path=fields.text("path").rstrip("/"),
        namespaced=fields.flag("namespaced"),
        count=fields.integer("count", minimum=0),
        rate=rate,
        concurrency=fields.integer("concurrency", minimum=1),
        timeout_s=fields.positive("timeout_s"),
        names=fields.text("names"),
        params=params,
        place=fields.place,
        paths=_paths(fields),
    )
    fields.done()
    if isinstance(phase.rate, UntilFailure) and not steps_of(phase.rate, phase.count):
        needed = phase.rate.first * phase.rate.each_s
        raise fields.error("count", f"is {phase.count}, but the first step alone needs {needed:.0f} requests")
    if not phase.path.startswith("/"):
        raise fields.error("path", f"must begin with a slash, is {phase.path!r}")
    try:
        distinct = phase.object_name(0) != phase.object_name(1)
    except (KeyError, IndexError, ValueError, AttributeError) as fault:
        raise fields.error("names", f"is not a format of `i`: {phase.names!r}") from fault
    if not distinct:
        raise fields.error("names", f"gives every object the same name: {phase.names!r}; it must contain {{i}}")
    return phase
