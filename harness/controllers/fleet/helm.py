"""What the Helm component of a controller keeps of releases, and the published leak in it (docs/claims.md row 1).

To deploy a Bundle it is rendered: its resources are read and joined to a manifest, whose digest is the release's identity. A
rendered release is kept, for the next reconcile of the same content needs it again. With `leaking` nothing is ever taken out:
what was rendered for Bundles that are long gone stays. With `bounded` a release goes with its Bundle, and of many Bundles the
least recently used one goes when another comes.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum

from harness.controllers.runtime.resources import Object

MOST_RELEASES = 32
"""Of `bounded`: few against the Bundles of a load, so that it fills early and then keeps its size."""


class HelmCache(StrEnum):
    """Values of the switch `helm_cache`."""

    LEAKING = "leaking"
    BOUNDED = "bounded"


@dataclass(frozen=True, slots=True)
class Release:
    """One Bundle, rendered."""

    manifest: bytes
    checksum: str


class Helm:
    """Renders Bundles, and keeps what it rendered."""

    def __init__(self, mode: HelmCache, most: int = MOST_RELEASES) -> None:
        self._mode, self._most = mode, most
        self._releases: OrderedDict[tuple[str, object], Release] = OrderedDict()

    def __len__(self) -> int:
        return len(self._releases)

    def render(self, key: str, bundle: Object) -> Release:
        """The release of a Bundle as it is now."""
        revision = key, (bundle["metadata"].get("uid"), bundle["metadata"].get("generation"))
        release = self._releases.get(revision)
        if release is None:
            release = _rendered(bundle)
            self._releases[revision] = release
        self._releases.move_to_end(revision)
        if self._mode is HelmCache.BOUNDED and len(self._releases) > self._most:
            self._releases.popitem(last=False)
        return release

    def forget(self, key: str) -> None:
        """The Bundle is gone."""
        if self._mode is HelmCache.BOUNDED:
            for revision in [each for each in self._releases if each[0] == key]:
                del self._releases[revision]


def _rendered(bundle: Object) -> Release:
    resources = bundle["spec"].get("resources")
    parts = (str(each.get("content") or "") for each in resources or ())
    manifest = "\n---\n".join(parts).encode()
    return Release(manifest, hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest())
