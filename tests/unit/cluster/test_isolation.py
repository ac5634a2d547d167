"""One context, alone in a file of ours."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.isolation import isolate
from harness.core.errors import UsageError

CA = b"-----BEGIN CERTIFICATE-----\n"


def source(tmp_path: Path, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None) -> Path:
    document = {
        "current-context": "other",
        "contexts": [
            {"name": "dev", "context": {"cluster": "c", "user": "u", "namespace": "mine"}},
            {"name": "other", "context": {"cluster": "o", "user": "u"}},
        ],
        "clusters": [
            {
                "name": "c",
                "cluster": {"server": "https://10.0.0.1:6443/", "certificate-authority": "ca.crt"} | (cluster or {}),
            },
            {"name": "o", "cluster": {"server": "https://10.0.0.2"}},
        ],
        "users": [{"name": "u", "user": user or {"client-certificate": "u.crt", "client-key": "/abs/u.key"}}],
    }
    (tmp_path / "kube").mkdir()
    (tmp_path / "kube" / "ca.crt").write_bytes(CA)
    path = tmp_path / "kube" / "config"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_copy_knows_no_other_cluster_and_finds_files_beside_the_source(tmp_path: Path) -> None:
    path = source(tmp_path, user={"exec": {"command": "./bin/login", "args": ["x"]}, "tokenFile": "t"})
    found = isolate(path, "dev", tmp_path)
    copy = yaml.safe_load(found.kubeconfig.read_text())
    assert copy["current-context"] == "dev"
    assert [entry["name"] for entry in copy["contexts"] + copy["clusters"]] == ["dev", "c"]
    assert copy["users"][0]["user"]["exec"] == {"command": str(tmp_path / "kube" / "bin/login"), "args": ["x"]}
    assert copy["users"][0]["user"]["tokenFile"] == str(tmp_path / "kube" / "t")
    assert found.server == "https://10.0.0.1:6443"
    assert found.ca_file.read_bytes() == CA
    for file in (found.kubeconfig, found.ca_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_absolute_paths_and_programs_on_path_stay(tmp_path: Path) -> None:
    found = isolate(source(tmp_path, user={"client-key": "/abs/u.key", "exec": {"command": "aws"}}), "dev", tmp_path)
    user = yaml.safe_load(found.kubeconfig.read_text())["users"][0]["user"]
    assert user == {"client-key": "/abs/u.key", "exec": {"command": "aws"}}


def test_inline_authorities_become_a_file(tmp_path: Path) -> None:
    inline = {"certificate-authority-data": base64.b64encode(b"inline").decode()}
    assert isolate(source(tmp_path, inline), "dev", tmp_path).ca_file.read_bytes() == b"inline"


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ({"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify: it does not verify"),
        ({"proxy-url": "http://x"}, "proxy-url: it goes through a proxy"),
        ({"tls-server-name": "x"}, "tls-server-name: it names"),
        ({"server": "http://10.0.0.1"}, "its server 'http://10.0.0.1' is not https"),
        ({"certificate-authority": "none.crt"}, "its certificate authority cannot be read"),
        ({"certificate-authority-data": "%%"}, "its certificate authority cannot be read"),
    ],
)
def test_what_the_load_generator_cannot_follow_is_refused(tmp_path: Path, cluster: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        isolate(source(tmp_path, cluster), "dev", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_context_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no 'context none'"):
        isolate(source(tmp_path), "none", tmp_path)
