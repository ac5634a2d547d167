"""Grafana and Pyroscope as containers of this machine's Docker, on its loopback; what cannot be had is told and left out."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

LABEL = "controller-harness.dashboards"
HOST = "127.0.0.1"
IMAGES = {"pyroscope": "grafana/pyroscope:2.0.6", "grafana": "grafana/grafana:11.6.0"}
"""`PYROSCOPE_IMAGE` and `GRAFANA_IMAGE` name others."""
PYROSCOPE = ("-architecture.storage=v2",)
"""No setting of its file, and needed on loopback: the old storage, which runs beside the new one by default, looks for its own
parts at the address of a network interface (seen with v2.0.6)."""
_PULL_S, _ASK_S = 600, 60
_LAST_WORDS = 200


def up(provisioned: Path, password: Path, *, grafana: int, pyroscope: int) -> Iterator[str]:
    """Start both; a sentence for each."""
    options = {
        "pyroscope": (
            ["-v", f"{provisioned / 'pyroscope'}:/etc/harness:ro", "-v", "controller-harness-pyroscope:/data"],
            ["-config.file=/etc/harness/pyroscope.yaml", *PYROSCOPE], f"http://{HOST}:{pyroscope}",
        ),
        "grafana": (
            [
                "-v", f"{provisioned / 'grafana' / 'provisioning'}:/etc/grafana/provisioning:ro",
                "-v", f"{provisioned / 'boards'}:/etc/harness-dashboards:ro", "-v", f"{password}:/run/secrets/password:ro",
                "--user", f"{os.getuid()}:0",
                *_environment({
                    "GF_SERVER_HTTP_ADDR": HOST, "GF_SERVER_HTTP_PORT": str(grafana), "GF_ANALYTICS_REPORTING_ENABLED": "false",
                    "GF_ANALYTICS_CHECK_FOR_UPDATES": "false", "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
                    "GF_SECURITY_ADMIN_PASSWORD__FILE": "/run/secrets/password", "GF_AUTH_ANONYMOUS_ENABLED": "true",
                    "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer", "GF_PLUGINS_PREINSTALL_DISABLED": "true",
                }),
            ],
            [], f"http://{HOST}:{grafana} (admin's password: {password})",
        ),
    }  # fmt: skip
    if (reason := missing()) is not None:
        yield from (f"{name}: left out: {reason}" for name in options)
        return
    for name, (flags, arguments, address) in options.items():
        yield f"{name}: {_start(name, flags, arguments) or address}"


def down() -> Iterator[str]:
    """Remove both where they are; nothing is said of what is not there."""
    if shutil.which("docker") is None:
        return
    for name in IMAGES:
        found = _docker("ps", "-aq", "--filter", f"label={LABEL}={name}", seconds=_ASK_S)
        for container in found.stdout.split():
            _docker("rm", "-f", container, seconds=_ASK_S)
            yield f"{name} is down"


def missing() -> str | None:
    """Why no container can be run; None where one can."""
    if shutil.which("docker") is None:
        return "there is no docker on this machine"
    asked = _docker("version", "--format", "{{.Server.Version}}", seconds=_ASK_S)
    return None if asked.returncode == 0 else f"docker does not answer: {_words(asked)}"


def _start(name: str, flags: Sequence[str], arguments: Sequence[str]) -> str | None:
    """Why it did not start; None where it did."""
    image = os.environ.get(f"{name.upper()}_IMAGE") or IMAGES[name]
    if _docker("image", "inspect", image, seconds=_ASK_S).returncode != 0:
        pulled = _docker("pull", "--quiet", image, seconds=_PULL_S)
        if pulled.returncode != 0:
            return f"left out: the image {image} cannot be had: {_words(pulled)}"
    _docker("rm", "-f", f"controller-harness-{name}", seconds=_ASK_S)
    command = ["run", "-d", "--name", f"controller-harness-{name}", "--label", f"{LABEL}={name}", "--network", "host"]
    started = _docker(*command, *flags, image, *arguments, seconds=_ASK_S)
    return None if started.returncode == 0 else f"left out: it did not start: {_words(started)}"


def _environment(values: dict[str, str]) -> list[str]:
    return [word for name, value in values.items() for word in ("-e", f"{name}={value}")]


def _docker(*words: str, seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["docker", *words], capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(["docker", *words], 124, "", f"no answer within {seconds:.0f} s")


def _words(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of what it complained about."""
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return (lines[-1].strip() if lines else f"status {done.returncode}")[:_LAST_WORDS]
