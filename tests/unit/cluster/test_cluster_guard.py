"""The harness keeps away from what looks like production."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from harness.cluster import guard
from harness.core.errors import UsageError


@pytest.mark.parametrize(
    "name",
    ["prod", "eks-prod-eu", "prod1", "PRODUCTION", "shop_prd", "eksProd", "live.example.com", "a/prod:b", "non-prod"],
)
def test_words_for_production(name: str) -> None:
    assert guard.looks_like_production(name)


@pytest.mark.parametrize(
    "name", ["staging", "product-team", "preprod", "olive", "delivery", "k3d-dev", "", "reproduce"]
)
def test_other_words(name: str) -> None:
    assert not guard.looks_like_production(name)


def kubeconfig(directory: Path, **names: str) -> Path:
    chosen = {"context": "dev", "cluster": "c", "user": "u", "server": "https://127.0.0.1:1"} | names
    document = {
        "contexts": [{"name": chosen["context"], "context": {"cluster": chosen["cluster"], "user": chosen["user"]}}],
        "clusters": [{"name": chosen["cluster"], "cluster": {"server": chosen["server"]}}],
        "current-context": chosen["context"],
    }
    path = directory / "config"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    "names", [{"cluster": "eks-prod"}, {"user": "prod-admin"}, {"server": "https://api.prod.example.com:6443"}]
)
def test_a_context_is_refused_for_any_name_behind_it(tmp_path: Path, names: dict[str, str]) -> None:
    path = kubeconfig(tmp_path, **names)
    with pytest.raises(UsageError, match="the context 'dev' looks like production") as caught:
        guard.check(path, "dev", allowed=False)
    assert str(caught.value).endswith("choose another, or add --i-know-what-i-am-doing")
    guard.check(path, "dev", allowed=True)


def test_a_context_that_does_not_is_taken(tmp_path: Path) -> None:
    guard.check(kubeconfig(tmp_path), "dev", allowed=False)


def test_an_unknown_context_names_the_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no context 'x'; its contexts: dev"):
        guard.check(kubeconfig(tmp_path), "x", allowed=True)


@pytest.mark.parametrize(
    ("content", "says"), [("a: [", "cannot be read"), ("- 1", "not a kubeconfig"), (None, "No such")]
)
def test_a_file_that_is_no_kubeconfig(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match=says) as caught:
        guard.check(path, "dev", allowed=False)
    assert "\n" not in str(caught.value)


def test_several_files_in_the_environment_are_not_guessed_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", "a:b")
    with pytest.raises(UsageError, match="names several files"):
        guard.default_kubeconfig()
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "one"))
    assert guard.default_kubeconfig() == tmp_path / "one"
