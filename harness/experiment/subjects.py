"""From what a scenario says of its subject to a command line that can be started."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.cluster.choice import EMBEDDED, IN_CLUSTER, KIND
from harness.core.errors import UsageError
from harness.core.handles import Progress
from harness.experiment.options import RunOptions
from harness.scenario.model import Subject, Webhooks
from harness.scenario.placeholders import written
from harness.subject.foreign import command_line
from harness.subject.readiness import Ready
from harness.toolchain import image as controllers_image
from harness.toolchain import native

_MATTERS = (
    "GOMEMLIMIT",
    "GOGC",
    "GOMAXPROCS",
    "GODEBUG",
    "PYTHONMALLOC",
    "PYTHONASYNCIODEBUG",
    "MALLOC_ARENA_MAX",
    "MALLOC_CONF",
)
_LEASE_NAMESPACE, _LEASE_NAME = "leader-elect-resource-namespace", "leader-elect-resource-name"
_ELECTING = {"leader-elect": "true", _LEASE_NAMESPACE: "{namespace}"}
_ROLES = {"watcher": "harness-watcher-subject"}
"""`harness-watcher` is that of the harness's own eyes, and older."""
_CONTROLLER_ADDRESS = "127.0.0.1:{port:metrics}"


@dataclass(frozen=True, slots=True)
class SubjectCommand:
    """A subject ready to be started, placeholders not yet filled."""

    command: list[str]
    env: dict[str, str]
    metrics: str | None
    pprof: str | None
    ready: Ready | None
    role: str
    """ClusterRole to bind: of manifests/rbac, or `cluster-admin` for a foreign command on an embedded or a kind cluster."""
    controller: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    pid: int | None = None
    """A process that somebody else has started: nothing is started then, and `command` says what it is."""
    lease: tuple[str, str] | None = None
    """Namespace and name of the Lease by which replicas elect their leader; placeholders not yet filled."""
    image: str | None = None
    """The image it runs in; None: that of the reference controllers in a pod, else a process."""
    args: Sequence[str] = ()
    """Arguments of the image's own entrypoint."""
    replicas: int = 1

    def in_pod(self, options: RunOptions) -> bool:
        """Whether it runs in a pod: what is an image, and the reference controllers where there is one of them: on kind we
        make it, inside a cluster it is named.

        A plain command is a program of this machine, whatever the cluster. Replicas and their failover are measured of
        processes only: they run as such unless a pod is asked for, which is refused beforehand.
        """
        if options.cluster.provider == EMBEDDED or options.subject_as == "process":
            return False
        ours = self.controller is not None and self.controller not in native.NAMES
        single = self.replicas == 1 or options.subject_as == "pod"
        provider = options.cluster.provider
        ours_there = provider == KIND or (provider == IN_CLUSTER and controllers_image.named() is not None)
        return self.image is not None or (ours and single and ours_there)


def build(spec: Subject, override: str | None, pid: int | None = None, image: str | None = None) -> SubjectCommand:
    """The command of a scenario's subject, or of `--subject`, which replaces the command and nothing else.

    `--pid`, or a subject that is one, is a process that runs already: of the scenario's addresses those count that hold
    nothing which a run would fill in. `image` is that of `--subject-image`, which replaces the subject: its entrypoint then,
    or `--subject` in it.
    """
    if override is None and image is None and (pid or spec.pid) is not None:
        number = pid or spec.pid
        assert number is not None
        known = [None if url is None or "{" in url else url for url in (spec.metrics, spec.pprof)]
        return SubjectCommand(
            command=command_line(number), env={}, metrics=known[0], pprof=known[1], ready=None, role="", pid=number
        )
    if override is None and image is None and spec.controller is not None:
        switches = {**(_ELECTING if spec.replicas > 1 else {}), **spec.options}
        flags = [f"--{name}={written(value)}" for name, value in switches.items()]
        if spec.webhooks is not None:
            flags += [f"--webhook-bind-address=127.0.0.1:{{port:{spec.webhooks.port}}}"]
            flags += ["--webhook-cert-dir={webhook:dir}"]
        return SubjectCommand(
            command=[
                *_program(spec.controller),
                *("--kubeconfig", "{kubeconfig}", "--metrics-bind-address", _CONTROLLER_ADDRESS, *flags),
            ],
            env=_env(spec),
            metrics=f"http://{_CONTROLLER_ADDRESS}/metrics",
            pprof=f"http://{_CONTROLLER_ADDRESS}/debug/pprof" if spec.controller == native.GO else None,
            ready=Ready(http=f"http://{_CONTROLLER_ADDRESS}/readyz"),
            role=_ROLES.get(spec.controller, f"harness-{spec.controller}"),
            controller=spec.controller,
            options=dict(spec.options),
            replicas=spec.replicas,
            lease=(
                written(switches.get(_LEASE_NAMESPACE, "default")),
                written(switches.get(_LEASE_NAME, spec.controller)),
            ),
        )
    own = [] if image is not None else list(spec.command or [])
    command = _split(override) if override is not None else own
    return SubjectCommand(
        command=command,
        env=_env(spec),
        metrics=spec.metrics,
        pprof=spec.pprof,
        ready=_ready(spec),
        role="cluster-admin",
        image=image or spec.image,
        args=() if command else tuple(spec.args),
        lease=None if spec.lease is None else (spec.lease.namespace or "{namespace}", spec.lease.name),
    )


def of(spec: Subject, options: RunOptions) -> SubjectCommand:
    """The subject of a run: the scenario's, or that of the command line with its addresses and environment.

    Raises UsageError where the command line says something of a subject that has its own answer to it.
    """
    command = build(spec, options.subject, options.pid, options.subject_image)
    ready = options.subject_ready
    given = {"metrics": options.subject_metrics, "pprof": options.subject_pprof, "ready": ready}
    named = [name for name, value in given.items() if value is not None]
    named += ["webhooks"] if options.subject_webhooks else []
    if command.controller is not None and named:
        cause = f"--subject-{named[0]} is known for the reference controller {command.controller}"
        raise UsageError(cause, remedy="leave it out, or say with --subject what else is to be tested")
    starting = {"ready": ready, "env": options.subject_env, "webhooks": options.subject_webhooks}
    if command.pid is not None and (option := next((name for name, value in starting.items() if value), None)):
        cause = f"--subject-{option} is for who starts the process"
        raise UsageError(cause, place=f"pid {command.pid}", remedy="leave it out")
    if options.subject_webhooks and spec.replicas > 1:
        cause = "--subject-webhooks: admission webhooks are called at one address, not at two replicas"
        raise UsageError(cause, remedy="leave it out, or use a scenario with one replica")
    for name in given:
        if command.pid is not None and "{" in str(given[name]):
            cause = f"--subject-{name} of a process that runs already cannot have a port of the run's"
            raise UsageError(cause, place=f"pid {command.pid}", remedy="write the port that it listens on")
    return replace(
        command,
        env={**command.env, **options.subject_env},
        metrics=options.subject_metrics or command.metrics,
        pprof=options.subject_pprof or command.pprof,
        ready=command.ready if ready is None else Ready(http=ready),
    )


def webhooks(spec: Subject, options: RunOptions) -> Webhooks | None:
    """The admission webhooks that the subject serves: the scenario's, or those of the command line, which go over them."""
    if not options.subject_webhooks:
        return spec.webhooks
    port = "webhook" if spec.webhooks is None else spec.webhooks.port
    return Webhooks(port=port, configurations=[str(path.absolute()) for path in options.subject_webhooks])


def _program(controller: str) -> list[str]:
    """What starts a reference controller; one that is compiled is there once `prepare` was called."""
    if controller in native.NAMES:
        return [str(native.binary(controller))]
    return [sys.executable, "-P", "-m", f"harness.controllers.{controller}"]


async def prepare(command: SubjectCommand, progress: Progress) -> None:
    """Build the subject if it is one of ours and not built yet. Raises EnvironmentFault where it cannot be built."""
    if command.controller in native.NAMES:
        await native.ensure(command.controller, progress)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:  # a quotation or an escape that does not end
        cause = f"--subject {command!r} is not a command line: {error}"
        raise UsageError(cause, remedy="look at its quotes") from error


def _env(spec: Subject) -> dict[str, str]:
    """What the scenario adds to the environment; placeholders are not yet filled."""
    return {**spec.env, **(spec.go.environment(spec.memory_limit) if spec.go else {})}


def _ready(spec: Subject) -> Ready | None:
    given = spec.ready
    if given is None:
        return None
    lease = None if given.lease is None else (given.lease.namespace or "{namespace}", given.lease.name)
    return Ready(given.http, given.log, lease, given.metric, given.min or 0.0)


def relevant_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The variables that change a runtime's memory or speed, for the record. Nothing else is kept: it may hold secrets."""
    return {name: env[name] for name in _MATTERS if name in env}


def base_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of a subject: the user's own, with the scenario's `env` on top."""
    return {**os.environ, **extra}
