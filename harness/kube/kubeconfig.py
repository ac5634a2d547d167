"""Kubeconfig files: writing those of our own identities, and reading them back for the load generator.

Ours name certificate and key by path, so that no client has to unpack keys into temporary files of its own.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from harness.core.errors import UsageError
from harness.kube.document import read_mapping

_REMEDY = "check it with kubectl"


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """What a plain HTTPS client needs to be somebody to an API server: certificate and key, or a token."""

    server: str
    ca_file: Path
    cert_file: Path | None
    key_file: Path | None
    token_file: Path | None = None
    """Its content is replaced before it expires; read it again now and then."""


def write_private(path: Path, content: bytes) -> None:
    """Write `content` to `path` with mode 0600, atomically: no one ever sees half of it, or more of it than the owner."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp creates with 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_kubeconfig(path: Path, files: ClientFiles, user: str, cluster_name: str) -> None:
    """A kubeconfig, mode 0600, with one cluster, one user and one context."""
    if files.token_file is not None:
        credentials = {"tokenFile": str(files.token_file)}
    else:
        credentials = {"client-certificate": str(files.cert_file), "client-key": str(files.key_file)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": cluster_name,
                "cluster": {"server": files.server, "certificate-authority": str(files.ca_file)},
            }
        ],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": cluster_name, "context": {"cluster": cluster_name, "user": user}}],
        "current-context": cluster_name,
    }
    write_private(path, yaml.safe_dump(document, sort_keys=False).encode())


def read_kubeconfig(path: Path) -> dict[str, Any]:
    """What a kubeconfig holds, as far as it is read anywhere of the sort that it must be.

    Raises UsageError for one that is none. That names the place and shows nothing: errors tell names, and what stands where
    a name must may be a token.
    """
    document = read_mapping(path, "kubeconfig")
    try:
        _Kubeconfig.model_validate(document)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise UsageError(
            f"this kubeconfig is malformed: {where} is not of the sort it must be", place=str(path), remedy=_REMEDY
        ) from None
    return document


class _Part(BaseModel):
    model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))


def _an_address(server: str) -> str:
    _ = urlsplit(server).port  # raises ValueError, as each who takes it apart would
    return server


class _Cluster(_Part):
    server: Annotated[str, AfterValidator(_an_address)] | None = None
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    tls_server_name: str | None = None
    proxy_url: str | None = None


class _User(_Part):
    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = Field(default=None, alias="tokenFile")
    username: str | None = None
    password: str | None = None
    exec: dict[str, Any] | None = None


class _Context(_Part):
    cluster: str | None = None
    user: str | None = None


class _NamedCluster(_Part):
    name: str | None = None
    cluster: _Cluster | None = None


class _NamedUser(_Part):
    name: str | None = None
    user: _User | None = None


class _NamedContext(_Part):
    name: str | None = None
    context: _Context | None = None


class _Kubeconfig(_Part):
    current_context: str | None = None
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None


def client_files(kubeconfig: Path) -> ClientFiles:
    """Server, CA, and certificate with key or token behind a kubeconfig's current context.

    Raises UsageError where these are not files (an exec plugin or inline data): the load generator speaks plain HTTPS.
    """
    document = read_kubeconfig(kubeconfig)
    try:
        contexts = {entry["name"]: entry["context"] for entry in document["contexts"]}
        context = contexts[document["current-context"]]
        cluster = {entry["name"]: entry["cluster"] for entry in document["clusters"]}[context["cluster"]]
        user = {entry["name"]: entry["user"] for entry in document["users"]}[context["user"]]
        base = kubeconfig.parent
        token = user.get("tokenFile")
        return ClientFiles(
            server=cluster["server"].rstrip("/"),
            ca_file=base / cluster["certificate-authority"],
            cert_file=None if token else base / user["client-certificate"],
            key_file=None if token else base / user["client-key"],
            token_file=base / token if token else None,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(
            f"this kubeconfig {lacks(error)}", place=str(kubeconfig), remedy="name CA, certificate and key by file"
        ) from error


def lacks(error: Exception) -> str:
    """What is wrong with a kubeconfig that was taken for a whole one: the key that is missing, never a value."""
    return f"has no {error}" if isinstance(error, KeyError) else "is malformed: a value is not of the sort it must be"
