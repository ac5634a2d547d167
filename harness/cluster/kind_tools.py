"""`docker` and `kind` as commands: where they are, what they say, and their refusals in one line with what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.errors import EnvironmentFault

KIND_ENV = "KIND_BIN"
IMAGE_ENV = "KIND_NODE_IMAGE"
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
"""Label of every node container; its value is the cluster's name."""
ROLE_LABEL = "io.x-k8s.kind.role"

OR_EMBEDDED = "or use --cluster embedded"
_CALL_LIMIT_S = 30.0
_PROBE_LIMIT_S = 10.0
_READ_LIMIT_S = 60.0
_READ = f"""
set -- /var/lib/containerd/io.containerd.snapshotter.v1.*/snapshots
[ -n "$(find "$@" -path "*/fs/*" -type f -print -quit 2>/dev/null)" ] || {{ echo "no files of images found" >&2; exit 1; }}
timeout {_READ_LIMIT_S:g} find "$@" -path "*/fs/*" -type f -exec cat {{}} + >/dev/null 2>&1
status=$?
case $status in
0 | 1) ;;
124) echo "not done within {_READ_LIMIT_S:g} s" >&2; exit 1 ;;
*) echo "find and cat ended with exit code $status" >&2; exit 1 ;;
esac
"""
"""Files of running containers are among them and may go meanwhile: what `find` and `cat` say of those does not matter."""
_TERMINAL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class Tools:
    """The two commands, found and answering."""

    docker: str
    kind: str
    docker_version: str
    kind_version: str


def find() -> Tools:
    """Docker and kind, asked for their versions; EnvironmentFault says what to install or start."""
    docker = shutil.which("docker")
    if docker is None:
        raise EnvironmentFault("docker is not on PATH", remedy=f"install Docker Engine, {OR_EMBEDDED}")
    asked = _run([docker, "version", "--format", "{{.Server.Version}}"], _PROBE_LIMIT_S)
    if asked.returncode != 0:
        words = last_words(asked.stderr or asked.stdout)
        if "permission denied" in words.lower():
            remedy = f"join the group docker and log in again, {OR_EMBEDDED}"
        else:
            remedy = f"start it (systemctl start docker), {OR_EMBEDDED}"
        raise EnvironmentFault(f"the Docker daemon does not answer: {words}", remedy=remedy)
    named = os.environ.get(KIND_ENV)
    kind = shutil.which(named or "kind")
    if kind is None:
        where = (
            f"{KIND_ENV} names {named!r}, which is no program" if named else f"kind is not on PATH, nor in {KIND_ENV}"
        )
        raise EnvironmentFault(where, remedy=f"install kind 0.20 or newer, {OR_EMBEDDED}")
    version = _run([kind, "version", "-q"], _PROBE_LIMIT_S)
    if version.returncode != 0:
        raise EnvironmentFault(f"kind does not work: {last_words(version.stderr)}", place=kind, remedy=OR_EMBEDDED[3:])
    return Tools(docker, kind, asked.stdout.strip(), version.stdout.strip())


def clusters(tools: Tools) -> list[str]:
    """Names of the kind clusters of this Docker daemon, whoever made them."""
    return output([tools.kind, "get", "clusters"]).split()


def nodes(docker: str, cluster: str) -> list[str]:
    """Names of a cluster's node containers, control planes first; also of stopped ones."""
    found = output(
        [
            *(docker, "ps", "--all", "--filter", f"label={CLUSTER_LABEL}={cluster}"),
            *("--format", f'{{{{.Names}}}} {{{{.Label "{ROLE_LABEL}"}}}}'),
        ]
    )
    pairs = [line.split() for line in found.splitlines() if line.strip()]
    return [name for name, *role in sorted(pairs, key=lambda pair: (pair[1:] != ["control-plane"], pair[0]))]


def init_pid(docker: str, node: str) -> int:
    """Process id on Docker's host of a node's first process; 0 where it does not run."""
    return int(output([docker, "inspect", "--format", "{{.State.Pid}}", node]))


def mounts(docker: str, node: str) -> list[str]:
    """Directories of Docker's host that a node sees."""
    return output([docker, "inspect", "--format", "{{range .Mounts}}{{println .Source}}{{end}}", node]).split("\n")


def mounted_at(docker: str, node: str, place: str) -> str | None:
    """The directory of Docker's host that a node sees at `place`; None where there is none."""
    lines = output([docker, "inspect", "--format", "{{range .Mounts}}{{println .Destination .Source}}{{end}}", node])
    return next((line.partition(" ")[2] for line in lines.splitlines() if line.partition(" ")[0] == place), None)


def read_images(docker: str, node: str) -> None:
    """Have a node read the files of all its images; it takes 0.7 s where they are cached. EnvironmentFault where it cannot."""
    output([docker, "exec", node, "sh", "-c", _READ], _READ_LIMIT_S + _CALL_LIMIT_S)


def image_of(docker: str, node: str) -> tuple[str, str]:
    """The image a node was made from, by name and by id."""
    name, _, digest = output([docker, "inspect", "--format", "{{.Config.Image}} {{.Image}}", node]).partition(" ")
    return name, digest.strip()


def has_image(docker: str, image: str) -> bool:
    """Whether an image is on this machine."""
    return _run([docker, "image", "inspect", "--format", "{{.Id}}", image], _CALL_LIMIT_S).returncode == 0


def output(command: Sequence[str], timeout_s: float = _CALL_LIMIT_S) -> str:
    """What a command wrote; EnvironmentFault with its last words where it fails."""
    done = _run(command, timeout_s)
    if done.returncode != 0:
        program = os.path.basename(command[0])  # noqa: PTH119 # a name to show
        raise EnvironmentFault(f"`{program} {' '.join(command[1:3])}` failed: {last_words(done.stderr or done.stdout)}")
    return done.stdout.strip()


def last_words(text: str) -> str:
    """One line of what a tool wrote: its last ERROR, else the last line."""
    lines = [_TERMINAL.sub("", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it wrote nothing"])[-1][:400]


def _run(command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(list(command), 124, "", f"no answer within {timeout_s:g} s")
    except OSError as error:
        return subprocess.CompletedProcess(list(command), 126, "", str(error.strerror))
