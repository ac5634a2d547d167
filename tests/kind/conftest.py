"""One kind cluster for all tests of a session, kept by `harness cluster up`; state of the harness in a folder of the session."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.cluster import kind_tools
from tests.kind.clusters import containers, harness


@dataclass(frozen=True)
class Kept:
    """`name` is kind's; `kubeconfig` an administrator's, with the one context `context`."""

    name: str
    kubeconfig: Path
    context: str


@pytest.fixture(scope="session", autouse=True)
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("HARNESS_STATE")
    os.environ["HARNESS_STATE"] = str(tmp_path_factory.mktemp("state"))
    kind_tools.find()  # says in one line what is missing
    yield
    if before is None:
        del os.environ["HARNESS_STATE"]
    else:
        os.environ["HARNESS_STATE"] = before


@pytest.fixture(scope="session")
def kept(_own_state: None) -> Iterator[Kept]:
    short = f"t{secrets.token_hex(3)}"
    made = harness("cluster", "up", "--cluster", "kind", "--name", short)
    assert made.returncode == 0, made.stderr
    name = f"hns-{short}"
    kubeconfig = Path(harness("cluster", "kubeconfig", short).stdout.strip())
    yield Kept(name, kubeconfig, f"kind-{name}")
    ended = harness("cluster", "down", short)
    assert ended.stdout == f"cluster {short} is down\n", ended.stderr
    assert containers(name) == []
    assert not kubeconfig.parent.exists()
