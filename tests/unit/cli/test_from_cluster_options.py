"""What is wrong with the options of `harness scenarios from-cluster` is said before any cluster is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.scenarios import from_cluster
from harness.core.errors import UsageError

CONFIG = """\
contexts: [{name: dev, context: {cluster: c, user: u}}, {name: prod, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: x}}]
"""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"context": "other"}, "there is no context 'other'; its contexts: dev, prod"),
        ({"context": "prod"}, "the context 'prod' looks like production: its context is 'prod'"),
        ({"context": "dev", "name": "No!"}, "'No!' is not a scenario's name"),
        ({"context": "dev", "output": "config"}, "config: it exists already"),
        ({"context": "dev", "output": "no/such/file.yaml"}, "no/such/file.yaml: its directory does not exist"),
    ],
)
def test_bad_options_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config").write_text(CONFIG)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    output = Path(options["output"]) if "output" in options else None
    with pytest.raises(UsageError) as caught:
        from_cluster(context=options["context"], name=options.get("name", "mine"), output=output)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
