"""The reference controllers that a scenario may name."""

from __future__ import annotations

from harness.core.paths import scenarios_dir

_DIRECTORY = scenarios_dir().parent / "controllers"
_NO_FLEET = frozenset({"kserve", "native-go", "native-rust", "watcher"})
_WEBHOOKS = frozenset({"kserve"})
_ELECTING = frozenset({"fleet"})


def known() -> list[str]:
    """All of them: Python packages that can be run, and `native-LANGUAGE`, which are compiled."""
    return sorted([*_python(), *native()])


def native() -> list[str]:
    """Those that are compiled from sources in `controllers/native/LANGUAGE`."""
    projects = [entry for name in ("go.mod", "Cargo.toml") for entry in _DIRECTORY.glob(f"native/*/{name}")]
    return sorted(f"native-{entry.parent.name}" for entry in projects)


def makes_bundles(controller: str | None) -> bool:
    """Whether it does what Fleet does, so that GitRepos and Clusters have consequences. A command is taken to do so."""
    return controller not in _NO_FLEET


def reports_deployments(controller: str) -> bool:
    """Whether it plays the agents of its Clusters itself, unless its option `agent` is `none`."""
    return controller == "fleet"


def serves_webhooks(controller: str) -> bool:
    """Whether it answers admission reviews: on `--webhook-bind-address`, with the certificate in `--webhook-cert-dir`."""
    return controller in _WEBHOOKS


def elects_leader(controller: str) -> bool:
    """Whether several replicas of it can run, of which one works."""
    return controller in _ELECTING


def _python() -> list[str]:
    packages = [entry.parent for entry in _DIRECTORY.glob("*/__main__.py")]
    return [package.name for package in packages if (package / "__init__.py").is_file()]
