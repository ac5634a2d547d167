"""Which kind clusters are the harness's own, and deleting exactly those.

A file says so before the cluster is made, and the cluster proves it: its control plane mounts a directory that was made
for it alone. A cluster without such a file, or with other mounts, is somebody else's, whatever its name.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.cluster import kind_tools as tools
from harness.cluster.kind_tools import Tools
from harness.core.errors import EnvironmentFault
from harness.core.paths import state_dir
from harness.core.process_id import ProcessId
from harness.kube.kubeconfig import write_private

PREFIX = "hns-"
_DELETE_LIMIT_S = 60.0
_POLL_S = 0.2


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


def begin(name: str, run_id: str, directory: Path, owner: ProcessId | None) -> Owned:
    """Say that the cluster of this name, about to be made, is ours."""
    owned = Owned(name, run_id, str(directory), datetime.now(UTC).isoformat(timespec="seconds"), owner)
    save(owned)
    return owned


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


def delete(owned: Owned, *, settle_s: float = 0.0) -> bool:
    """Delete a cluster of ours with all it stored, and forget it; False where Docker knows no such cluster any more.

    `settle_s`: look again after that time, for what an interrupted `kind create` had already asked Docker for.
    Raises EnvironmentFault where Docker does not answer, where it stays, and where that name is somebody else's by now.
    """
    found = tools.find()
    deadline = time.monotonic() + _DELETE_LIMIT_S
    there = False
    while True:
        if containers := tools.nodes(found.docker, owned.name):
            there = True
            _delete_nodes(owned, found, containers, last=time.monotonic() > deadline)
            time.sleep(_POLL_S)
        elif settle_s > 0:
            time.sleep(settle_s)
            settle_s = 0.0
        else:
            break
    shutil.rmtree(owned.directory, ignore_errors=True)
    forget(owned)
    return there


def _delete_nodes(owned: Owned, found: Tools, containers: Sequence[str], *, last: bool) -> None:
    """One try. Docker lists a container before it knows it by name, and refuses to remove one that it is just starting or
    removing: only the last try's failure counts."""
    try:
        mounted = any(owned.shared in tools.mounts(found.docker, node) for node in containers)
    except EnvironmentFault:
        if last:
            raise
        return
    if not mounted:
        raise EnvironmentFault(
            "this kind cluster is not the one that the harness made: it was left alone",
            place=owned.name,
            remedy=f"delete it yourself if it is yours, then {_home() / f'{owned.name}.json'}",
        )
    # An own, empty kubeconfig: kind would else look for the cluster's context in the user's.
    scratch = str(Path(owned.directory) / "delete.kubeconfig")
    try:
        tools.output([found.kind, "delete", "cluster", "--name", owned.name, "--kubeconfig", scratch], _DELETE_LIMIT_S)
    except EnvironmentFault:
        if last:
            raise
    else:
        if last and (left := tools.nodes(found.docker, owned.name)):
            raise EnvironmentFault(f"still there after its deletion: {', '.join(left)}", place=owned.name)


def forget(owned: Owned) -> None:
    """It is not ours any more, or never came to be."""
    (_home() / f"{owned.name}.json").unlink(missing_ok=True)


def _home() -> Path:
    return state_dir() / "kind"
