"""Which kind clusters are the harness's own, and deleting exactly those.

A file says so before the cluster is made, and the cluster proves it: its control plane mounts a directory that was made
for it alone. A cluster without such a file, or with other mounts, is somebody else's, whatever its name.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.cluster import kind_tools as tools
from harness.cluster.state import ProcessId
from harness.core.errors import EnvironmentFault
from harness.core.paths import state_dir
from harness.kube.kubeconfig import write_private

PREFIX = "hns-"
_DELETE_LIMIT_S = 120.0


@dataclass(frozen=True, slots=True)
class Owned:
    """A kind cluster that the harness made, or is about to make.

    `directory` is on this machine, private, and mounted in its control plane. `owner` is the process that deletes it on
    its way out; None where it was made to be kept, by `harness cluster up`.
    """

    name: str
    run_id: str
    directory: str
    created_at: str
    owner: ProcessId | None

    @property
    def shared(self) -> str:
        """The directory in it that the control plane mounts."""
        return str(Path(self.directory) / "node")

    @property
    def orphaned(self) -> bool:
        """Whether who should have deleted it is gone."""
        return self.owner is not None and not self.owner.lives()


def save(owned: Owned) -> None:
    """Say that this cluster is ours; before it is made."""
    _home().mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(_home() / f"{owned.name}.json", json.dumps(asdict(owned), indent=2).encode() + b"\n")


def load(name: str) -> Owned | None:
    """What we know of a cluster of ours; None where it is not."""
    try:
        content = json.loads((_home() / f"{name}.json").read_text(encoding="utf-8"))
        owner = content["owner"]
        return Owned(**{**content, "owner": None if owner is None else ProcessId(**owner)})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def load_all() -> Sequence[Owned]:
    """All clusters of ours, also those that are gone."""
    names = sorted(file.stem for file in _home().glob("*.json"))
    return [owned for owned in map(load, names) if owned is not None]


def delete(owned: Owned) -> bool:
    """Delete a cluster of ours with all it stored, and forget it; False where Docker knows no such cluster any more.

    Raises EnvironmentFault where Docker does not answer, where it stays, and where that name is somebody else's by now.
    """
    found = tools.find()
    containers = tools.nodes(found.docker, owned.name)
    if containers:
        if not any(owned.shared in tools.mounts(found.docker, node) for node in containers):
            raise EnvironmentFault(
                "this kind cluster is not the one that the harness made: it was left alone",
                place=owned.name,
                remedy=f"delete it yourself if it is yours, then {_home() / f'{owned.name}.json'}",
            )
        # An own, empty kubeconfig: kind would else look for the cluster's context in the user's.
        scratch = str(Path(owned.directory) / "delete.kubeconfig")
        command = [found.kind, "delete", "cluster", "--name", owned.name, "--kubeconfig", scratch]
        tools.output(command, _DELETE_LIMIT_S)
        if left := tools.nodes(found.docker, owned.name):
            raise EnvironmentFault(f"still there after its deletion: {', '.join(left)}", place=owned.name)
    shutil.rmtree(owned.directory, ignore_errors=True)
    forget(owned)
    return bool(containers)


def forget(owned: Owned) -> None:
    """It is not ours any more, or never came to be."""
    (_home() / f"{owned.name}.json").unlink(missing_ok=True)


def _home() -> Path:
    return state_dir() / "kind"
