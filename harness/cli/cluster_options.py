"""The options of `run` and `gate` that say where Kubernetes comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import completing

Provider = Annotated[
    str,
    typer.Option(
        "--cluster",
        autocompletion=completing.one_of("embedded", "kind", "kubeconfig", "in-cluster"),
        help="Where Kubernetes comes from: embedded, kind, kubeconfig or in-cluster.",
    ),
]
KindName = Annotated[
    str | None,
    typer.Option("--kind-name", help="kind: the cluster to use if it is there (it then stays), or to make."),
]
KindImage = Annotated[
    str | None, typer.Option("--kind-image", help="kind: the node image; default KIND_NODE_IMAGE, else kind's own.")
]
KindConfig = Annotated[
    str | None, typer.Option("--kind-config", help="kind: one-node, control-plane-and-workers, or a file.")
]
Context = Annotated[str | None, typer.Option("--context", help="kubeconfig: the context to use; there is no default.")]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="kubeconfig: its file; default KUBECONFIG, else ~/.kube/config.")
]
Certain = Annotated[
    bool,
    typer.Option("--i-know-what-i-am-doing", help="kubeconfig: use one that looks like production or is in use."),
]
SubjectRole = Annotated[
    str | None, typer.Option("--subject-role", help="The ClusterRole that the subject gets, instead of its own.")
]
