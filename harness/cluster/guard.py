"""Keeping the harness away from clusters that are somebody's production.

A cluster of the user's is never used implicitly: its context is named. And a context that looks like production is
refused, even for reading: listing every Secret is load too, and shows whoever may do it more than they asked for.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.core.errors import UsageError
from harness.kube.kubeconfig import read_kubeconfig

OVERRIDE = "--i-know-what-i-am-doing"
_PRODUCTION = re.compile(r"(?<![a-z])(prod|prd|production|live)(?![a-z])")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def looks_like_production(name: str) -> bool:
    """Whether a name holds a word for production: `prod-eu`, `eksProd`, `shop.prd.example.com`, `live2`; not `product`."""
    return _PRODUCTION.search(_CAMEL.sub("-", name).lower()) is not None


def default_kubeconfig() -> Path:
    """KUBECONFIG where it names one file, else the usual place. Raises UsageError where it names several."""
    named = os.environ.get("KUBECONFIG", "")
    if os.pathsep in named.strip(os.pathsep):
        raise UsageError("KUBECONFIG names several files", remedy="say which one: --kubeconfig FILE")
    return Path(named.strip(os.pathsep)) if named else Path.home() / ".kube" / "config"


def check(kubeconfig: Path, context: str, *, allowed: bool) -> None:
    """Raises UsageError where the file has no such context, or the context looks like production and is not `allowed`."""
    document = read_kubeconfig(kubeconfig)
    contexts = _named(document, "contexts", "context")
    if context not in contexts:
        known = ", ".join(sorted(contexts)) or "none"
        raise UsageError(f"there is no context {context!r}", place=str(kubeconfig), remedy=f"its contexts: {known}")
    chosen = contexts[context]
    cluster = chosen.get("cluster") or ""
    server = _named(document, "clusters", "cluster").get(cluster, {}).get("server") or ""
    if allowed:
        return
    for what, name in (
        ("context", context),
        ("cluster", cluster),
        ("user", chosen.get("user") or ""),
        ("server", urlsplit(server).hostname or ""),
    ):
        if looks_like_production(name):
            raise UsageError(
                f"the context {context!r} looks like production: its {what} is {name!r}",
                place=str(kubeconfig),
                remedy=f"choose another, or add {OVERRIDE}",
            )


def _named(document: dict[str, Any], plural: str, singular: str) -> dict[str, dict[str, Any]]:
    return {
        entry["name"]: entry.get(singular) or {}
        for entry in document.get(plural) or []
        if entry.get("name") is not None
    }
